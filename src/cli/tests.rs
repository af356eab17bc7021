mod unusable;

use super::*;

/// Runs one command line in an empty directory; gives its exit, standard output and standard error.
fn run_with(arguments: &[&str], environment: &[(&str, &str)], file: Option<&str>) -> (Exit, String, String) {
    let directory = tempfile::tempdir().unwrap();
    if let Some(text) = file {
        std::fs::create_dir(directory.path().join("conf")).unwrap();
        std::fs::write(directory.path().join("conf/tollgate.toml"), text).unwrap();
    }
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut surroundings = Surroundings {
        directory: directory.path().to_path_buf(),
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        out: &mut out,
        err: &mut err,
    };
    let words = std::iter::once("tollgate").chain(arguments.iter().copied()).map(OsString::from);
    let exit = run(words, &mut surroundings);
    (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn version_and_help_are_good_and_go_to_standard_output() {
    let (exit, out, err) = run_with(&["--version"], &[], None);
    assert_eq!((exit, out.trim(), err.as_str()), (Exit::Good, concat!("tollgate ", env!("CARGO_PKG_VERSION")), ""));
    let (exit, out, _) = run_with(&["--help"], &[], None);
    assert_eq!(exit, Exit::Good);
    for command in ["serve", "check", "migrate", "import", "--config"] {
        assert!(out.contains(command), "{command} is missing in {out}");
    }
}

#[test]
fn bad_usage_is_2_and_goes_to_standard_error() {
    for arguments in [&["frobnicate"][..], &["--frobnicate"], &["check", "--config"], &["serve", "extra"]] {
        let (exit, out, err) = run_with(arguments, &[], None);
        assert_eq!((exit, out.as_str()), (Exit::Misused, ""), "{arguments:?}");
        assert!(err.starts_with("error:"), "{err}");
    }
}

#[test]
fn import_is_asked_for_a_product_and_its_address() {
    let url = "postgres://localhost/b";
    for arguments in [
        &["import"][..],
        &["import", "bricksllm"],
        &["import", "other", url],
        &["import", "brconnector", url, "--history-since", "yesterday"],
        &["import", "brconnector", url, "--history-since", "2026-02-31"],
    ] {
        let (exit, out, err) = run_with(arguments, &[], None);
        assert_eq!((exit, out.as_str()), (Exit::Misused, ""), "{arguments:?}");
        assert!(err.starts_with("error:"), "{err}");
    }
}

#[test]
fn every_mistake_is_one_line_on_standard_error_whatever_the_command() {
    let file = "[proxy]\nlisten = 5\n[limits]\nbudgetmode = 'strict'\n";
    let environment = [("TOLLGATE_PROXY_THREADS", "many")];
    for command in [&["serve"][..], &["check"], &["migrate"], &[]] {
        let (exit, out, err) = run_with(command, &environment, Some(file));
        assert_eq!((exit, out.as_str()), (Exit::Misused, ""), "{command:?}");
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!(lines.len(), 3, "{err}");
        for key in ["limits.budgetmode", "proxy.listen", "proxy.threads"] {
            assert_eq!(lines.iter().filter(|line| line.starts_with(&format!("tollgate: {key}:"))).count(), 1, "{err}");
        }
    }
}

#[test]
fn a_named_file_must_exist() {
    let (exit, _, err) = run_with(&["--config", "nowhere.toml", "check"], &[], None);
    assert_eq!(exit, Exit::Misused);
    assert!(err.starts_with("tollgate: nowhere.toml: cannot be read"), "{err}");
    assert_eq!(err.lines().count(), 1);
}

#[test]
fn check_prints_each_value_with_its_origin_and_no_secret() {
    let environment = [("ADMIN_PASS", "open-sesame"), ("PROXY_TIMEOUT", "90s")];
    let file = "[store]\npath = \"elsewhere.db\"\n";
    let (_, out, err) = run_with(&["check"], &environment, Some(file));
    for line in [
        "[proxy]",
        "request_timeout = \"90s\"  # PROXY_TIMEOUT",
        "listen = \"0.0.0.0:8001\"  # default, because a secret is set",
        "pass = \"********\"  # ADMIN_PASS",
        "path = \"elsewhere.db\"  # conf/tollgate.toml:2",
        "cors = true  # default",
        "[providers.openai]",
    ] {
        assert!(out.lines().any(|l| l == line), "{line} is missing in {out}");
    }
    assert!(!out.contains("sesame") && !err.contains("sesame"));
}

#[test]
fn warnings_go_to_standard_error() {
    let (_, out, err) = run_with(&["check"], &[("STATS_PROVIDER", "datadog")], None);
    assert!(err.contains("tollgate: warning: STATS_PROVIDER has no effect"), "{err}");
    assert!(!out.contains("STATS_PROVIDER"));
}

#[test]
fn the_example_is_printed_even_under_a_broken_configuration() {
    let (exit, out, _) = run_with(&["check", "--example"], &[], Some("broken"));
    assert_eq!((exit, out), (Exit::Good, config::example()));
}

#[test]
fn failures_are_one_line() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut surroundings =
        Surroundings { directory: PathBuf::new(), environment: Environment::default(), out: &mut out, err: &mut err };
    let error = anyhow::anyhow!("line one\n  line two").context("the store cannot be opened");
    assert_eq!(failed(&error, &mut surroundings), Exit::Failed);
    assert_eq!(String::from_utf8(err).unwrap(), "tollgate: the store cannot be opened: line one line two\n");
}

#[test]
fn check_and_migrate_work_on_a_shared_database() {
    let database = crate::servers::database();
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let environment = [("TOLLGATE_STORE_URL", database.url()), ("TOLLGATE_MASTER_KEY", key)];
    let store = |out: &str| out.lines().find(|line| line.starts_with("# store: ")).map(str::to_owned);
    for _ in 0..2 {
        let (exit, out, err) = run_with(&["check"], &environment, None);
        let told = store(&out).unwrap_or_else(|| panic!("{out}{err}"));
        assert_eq!(exit, Exit::Good, "{err}");
        assert!(told.contains("no schema yet") && told.contains("without TLS, takes writes"), "{told}");
        assert!(!out.contains("test-password") && !err.contains("test-password"));
    }
    let (exit, out, err) = run_with(&["migrate"], &environment, None);
    assert_eq!(exit, Exit::Good, "{err}");
    assert!(out.starts_with("the schema is at version "), "{out}");
    let (_, out, _) = run_with(&["check"], &environment, None);
    assert!(store(&out).is_some_and(|told| told.contains(", schema version ")), "{out}");
    let away = [("TOLLGATE_STORE_URL", "postgres://u:hunter2@127.0.0.1:1/d"), ("TOLLGATE_MASTER_KEY", key)];
    for command in ["check", "migrate"] {
        let (exit, out, err) = run_with(&[command], &away, None);
        assert_eq!(exit, Exit::Failed);
        assert!(err.contains("127.0.0.1:1") && !err.contains("hunter2") && !out.contains("hunter2"), "{err}");
    }
}

#[test]
fn check_tells_how_redis_is() {
    let (database, redis) = (crate::servers::database(), crate::servers::Redis::start());
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let url = redis.url();
    let with = |url| {
        let environment =
            [("TOLLGATE_STORE_URL", database.url()), ("TOLLGATE_MASTER_KEY", key), ("TOLLGATE_COUNTERS_URL", url)];
        run_with(&["check"], &environment, None)
    };
    let (exit, out, err) = with(&url);
    assert_eq!(exit, Exit::Good, "{err}");
    let told = out.lines().find(|line| line.starts_with("# counters: ")).unwrap();
    assert!(told.contains("Redis ") && told.contains("single server") && told.contains("answers in"), "{told}");
    let (exit, out, err) = with("redis://:hunter2@127.0.0.1:1");
    assert_eq!(exit, Exit::Failed);
    assert!(err.contains("counters: ") && !err.contains("hunter2") && !out.contains("hunter2"), "{err}");
}
