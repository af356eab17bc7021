//! Real clients against the unified API of the running program: one base URL and one key, models of several providers,
//! each behind its own upstream, all set up by the management API on the listener that serves everything.

use crate::clients::{aimock, check, node, project, tool};
use crate::support::{Gateway, Setup};
use crate::upstream::{Api, Options, Upstream};
use serde_json::{Value, json};
use tokio::process::Command;

const BOOT: &str = "br_boot-key-of-this-test";
/// Begins the secret of every key; no upstream may see it.
const OURS: &str = "br-";

struct House {
    gateway: Gateway,
    /// `http://host:port` of the single listener.
    single: String,
    key: String,
    /// Belongs to the same group and has no money.
    poor: String,
    prices: Value,
    upstreams: Vec<Upstream>,
}

/// One kind of upstream and the models that are asked there.
struct Row {
    name: &'static str,
    provider: &'static str,
    /// USD per million tokens: each differs, so that no bill fits another model.
    prices: [&'static str; 2],
    config: Value,
}

fn rows(openai: &str, anthropic: &str, ollama: &str, gemini: &str) -> Vec<Row> {
    let aws = |model: &str| {
        json!({"modelId": model, "accessKeyId": "AKIDUPSTREAM", "secretAccessKey": "upstream/secret+key",
            "regions": "eu-north-1", "endpoint": openai, "maxRetries": 0})
    };
    let open = |model: &str| json!({"baseURL": format!("{openai}/v1"), "apiKey": "sk-upstream", "model": model});
    let row = |name, provider, prices, config| Row { name, provider, prices, config };
    vec![
        row("u-converse", "bedrock-converse", ["3", "15"], aws("eu.anthropic.claude-sonnet-4-5-20250929-v1:0")),
        row("u-nova", "bedrock-converse", ["0.06", "0.24"], aws("amazon.nova-lite-v1:0")),
        row(
            "u-claude",
            "anthropic",
            ["3.3", "16.5"],
            json!({"baseURL": anthropic, "apiKey": "sk-upstream", "model": "claude-sonnet-4-5"}),
        ),
        row("u-compat", "openai-compatible", ["1.25", "10"], open("gpt-oss-120b")),
        row("u-embed", "openai-compatible", ["0.02", "0"], open("text-embedding-3-small")),
        row(
            "u-ollama",
            "ollama",
            ["0.1", "0.2"],
            json!({"host": ollama, "apiKey": "sk-upstream", "model": "qwen3:8b"}),
        ),
        row(
            "u-gemini",
            "gemini-converse",
            ["0.3", "2.5"],
            json!({"baseURL": gemini, "apiKey": "sk-upstream", "model": "gemini-2.5-flash"}),
        ),
    ]
}

async fn upstream(api: Api) -> Upstream {
    let options = Options { api, strict: true, forbidden: vec![OURS.to_owned()], ..Options::default() };
    Upstream::start(options).await.unwrap()
}

async fn manage(gateway: &Gateway, single: &str, path: &str, body: Value) -> Value {
    let answer = gateway.http.post(format!("{single}{path}")).bearer_auth(BOOT).json(&body).send().await.unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["success"], true, "{path} {body}: {answer}");
    answer["data"].clone()
}

/// Models behind their upstreams, a group that may use them, a rich key and a poor one.
async fn house_of(upstreams: Vec<Upstream>, rows: Vec<Row>) -> House {
    let gateway = Setup::default()
        .env("ADMIN_API_KEY", BOOT)
        .env("TOLLGATE_SINGLE_LISTEN", "127.0.0.1:0")
        .start_at("http://127.0.0.1:9")
        .await;
    let single = format!("http://{}", gateway.listener("single").await);
    let to = |path: &'static str, body: Value| manage(&gateway, &single, path, body);
    let group = to("/admin/group/save", json!({"name": "clients", "key": "clients"})).await["id"].clone();
    let mut prices = json!({});
    for row in rows {
        let [price_in, price_out] = row.prices;
        prices[row.name] = json!(row.prices);
        let body = json!({"name": row.name, "provider": row.provider, "multiple": 1, "price_in": price_in,
            "price_out": price_out, "config": row.config});
        let model = to("/admin/model/save", body).await["id"].clone();
        to("/admin/group/bind-or-unbind-model", json!({"group_id": group, "model_id": model, "action": "bind"})).await;
    }
    let key = |name: &str, quota: &str| json!({"name": name, "group_id": group, "month_quota": quota});
    let rich = to("/admin/api-key/apply", key("rich", "1000")).await["api_key"].as_str().unwrap().to_owned();
    let poor = to("/admin/api-key/apply", key("poor", "0")).await["api_key"].as_str().unwrap().to_owned();
    House { gateway, single, key: rich, poor, prices, upstreams }
}

async fn house() -> House {
    let mut upstreams = Vec::new();
    for api in [Api::OpenAi, Api::Anthropic, Api::Ollama, Api::Gemini] {
        upstreams.push(upstream(api).await);
    }
    let urls: Vec<String> = upstreams.iter().map(Upstream::url).collect();
    let rows = rows(&urls[0], &urls[1], &urls[2], &urls[3]);
    house_of(upstreams, rows).await
}

/// Runs a client's check against a house.
async fn works(house: &House, mut command: Command, prefix: &str, path: &str) {
    command
        .args(["--base-url", &format!("{}{path}", house.single), "--key", &house.key, "--poor-key", &house.poor])
        .args([
            "--admin",
            &house.gateway.admin,
            "--admin-pass",
            BOOT,
            "--event-prefix",
            prefix,
            "--prices",
            &house.prices.to_string(),
        ]);
    check(&mut command).await;
    let wrong: Vec<_> = house
        .upstreams
        .iter()
        .flat_map(Upstream::seen)
        .filter(|seen| !seen.violations.is_empty())
        .map(|seen| (seen.target, seen.violations))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn python(tools: &str, script: &str) -> Command {
    let mut command = Command::new(tool(&format!("{tools}/bin/python")));
    command.arg(project("tests/sdk/python").join(script));
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk_for_python_talks_to_every_model() {
    let house = house().await;
    works(&house, python("openai-3", "unified_openai.py"), "py3", "/v1").await;
    works(&house, python("openai-1", "unified_openai.py"), "py1", "/v1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_anthropic_sdk_for_python_talks_to_every_model() {
    let house = house().await;
    works(&house, python("anthropic-2", "unified_anthropic.py"), "an2", "").await;
    works(&house, python("anthropic-0", "unified_anthropic.py"), "an0", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sdks_for_node_talk_to_every_model() {
    let house = house().await;
    let mut command = Command::new(node());
    command.arg(project("tests/sdk/node/unified.mjs")).arg("--modules").arg(tool("node"));
    works(&house, command, "node", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn langchain_talks_to_every_model() {
    let house = house().await;
    works(&house, python("langchain", "unified_langchain.py"), "lc", "").await;
}

/// An upstream that nobody here wrote, in the place of every provider.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_upstream_understands_every_translation() {
    let (_aimock, url) = aimock().await;
    let rows = rows(&url, &url, &url, &url).into_iter().filter(|row| !matches!(row.name, "u-embed" | "u-nova"));
    let house = house_of(Vec::new(), rows.collect()).await;
    works(&house, python("langchain", "unified_aimock.py"), "mock", "").await;
}

/// Fenced blocks of a section of the README, in order, by language.
fn snippets(section: &str) -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(project("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("\n## {section}\n")).expect("the section");
    let body = rest.split("\n## ").next().unwrap();
    let fenced = body.split("```").skip(1).step_by(2).map(|block| block.split_once('\n').unwrap());
    fenced.map(|(language, code)| (language.to_owned(), code.to_owned())).collect()
}

async fn output(command: &mut Command) -> String {
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_readme_shows_works_as_it_is_written() {
    let upstream = upstream(Api::Anthropic).await;
    let gateway = Setup::default()
        .env("ADMIN_API_KEY", BOOT)
        .env("TOLLGATE_SINGLE_LISTEN", "127.0.0.1:0")
        .env("TOLLGATE_PROVIDERS_ANTHROPIC_BASE_URL", &upstream.url())
        .start_at("http://127.0.0.1:9")
        .await;
    let single = gateway.listener("single").await;
    let blocks = snippets("One API for every model");
    let languages: Vec<&str> = blocks.iter().map(|(language, _)| language.as_str()).collect();
    assert_eq!(languages, ["sh", "python", "python", "python", "js"]);
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(tool("node/node_modules"), dir.path().join("node_modules")).unwrap();
    let mut key = String::new();
    for (language, code) in blocks {
        let code = code.replace("localhost:8866", &single);
        let said = match language.as_str() {
            "sh" => {
                let mut shell = Command::new("sh");
                shell.env("ADMIN_API_KEY", BOOT).env("ANTHROPIC_API_KEY", "sk-upstream");
                let told = output(shell.args(["-c", &format!("{code}\necho; echo \"key $KEY\"")])).await;
                key = told.lines().last().unwrap().strip_prefix("key ").unwrap().to_owned();
                assert!(key.starts_with(OURS), "{told}");
                continue;
            }
            "python" => {
                let code = format!("KEY = '{key}'\n{code}");
                output(Command::new(tool("langchain/bin/python")).args(["-c", &code])).await
            }
            _ => {
                let file = dir.path().join("snippet.mjs");
                std::fs::write(&file, format!("const KEY = '{key}';\n{code}")).unwrap();
                output(Command::new(node()).arg(&file)).await
            }
        };
        let answers = said.matches("Hello! How can I help you today?").count();
        assert_eq!(answers, code.matches("print(").count().max(code.matches("console.log(").count()), "{code}: {said}");
    }
}
