use super::*;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct Fixed;
impl Clock for Fixed {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_seconds(1_795_262_400)
    }
}

fn variables(pairs: &[(&'static str, &str)]) -> Variables {
    Variables(pairs.iter().map(|(name, value)| (*name, Secret::new(*value))).collect())
}

async fn id(pairs: &[(&'static str, &str)]) -> Result<(String, &'static str), String> {
    match source::find(&variables(pairs)).await {
        Ok(found) => Ok((found.credentials.access_key_id.into(), found.from)),
        Err(error) => Err(error.to_string()),
    }
}

/// A service on this machine: answers by path, and remembers what it was asked.
async fn service(answers: &'static [(&'static str, u16, &'static str)]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let mut length = 0;
            while !head[..length].ends_with(b"\r\n\r\n") {
                length += stream.read(&mut head[length..]).await.unwrap();
            }
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let line = head.lines().next().unwrap_or_default().to_owned();
            let found = answers.iter().find(|(start, ..)| line.starts_with(start));
            let (status, body) = found.map_or((404, ""), |(_, status, body)| (*status, *body));
            seen.lock().push(head);
            stream.write_all(format!("HTTP/1.0 {status} X\r\nx: y\r\n\r\n{body}").as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

const ROLE: &str =
    r#"{"Code":"Success","AccessKeyId":"ROLE","SecretAccessKey":"s","Token":"t","Expiration":"2026-11-21T18:00:00Z"}"#;

#[tokio::test]
async fn the_environment_goes_first_and_needs_both_halves() {
    let both = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_PROFILE", "x")];
    assert_eq!(id(&both).await, Ok(("ENV".into(), "environment")));
    let half = [("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_EC2_METADATA_DISABLED", "true")];
    assert!(id(&half).await.is_err());
}

#[tokio::test]
async fn profiles_are_read_from_both_files() {
    let dir = tempfile::tempdir().unwrap();
    let aws = dir.path().join(".aws");
    std::fs::create_dir(&aws).unwrap();
    std::fs::write(
        aws.join("credentials"),
        "# comment\n[default]\naws_access_key_id = DEF\naws_secret_access_key=a=b\n\n[work]\nAWS_ACCESS_KEY_ID=WORK\naws_secret_access_key = s\naws_session_token = t\n",
    )
    .unwrap();
    std::fs::write(
        aws.join("config"),
        "[profile other]\nregion = eu-west-1\ns3 =\n  aws_access_key_id = NESTED\naws_access_key_id = OTHER\naws_secret_access_key = s\n",
    )
    .unwrap();
    let home = dir.path().to_str().unwrap();
    assert_eq!(id(&[("HOME", home)]).await, Ok(("DEF".into(), "profile")));
    assert_eq!(id(&[("HOME", home), ("AWS_PROFILE", "work")]).await, Ok(("WORK".into(), "profile")));
    assert_eq!(id(&[("HOME", home), ("AWS_PROFILE", "other")]).await, Ok(("OTHER".into(), "profile")));
    // A name that was asked for is never replaced by another source.
    assert!(id(&[("HOME", home), ("AWS_PROFILE", "absent")]).await.unwrap_err().contains("absent"));
    let found = source::find(&variables(&[("HOME", home)])).await.unwrap();
    assert_eq!(found.credentials.secret_access_key.expose(), "a=b");
}

#[tokio::test]
async fn a_container_is_asked_with_its_token() {
    let (url, asked) = service(&[("GET /creds ", 200, ROLE)]).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "secret-token\n").unwrap();
    let full = format!("{url}/creds");
    let pairs = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", full.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
    ];
    assert_eq!(id(&pairs).await, Ok(("ROLE".into(), "container")));
    assert!(asked.lock()[0].contains("authorization: secret-token\r\n"));
    for elsewhere in ["http://example.com/creds", "http://10.0.0.1/", "https://127.0.0.1/", "ftp://127.0.0.1/", "x"] {
        let error = id(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", elsewhere)]).await.unwrap_err();
        assert!(error.contains("trusted"), "{elsewhere}: {error}");
    }
}

#[tokio::test]
async fn an_instance_is_asked_for_a_token_first() {
    let (url, asked) = service(&[
        ("PUT /latest/api/token ", 200, "imds-token"),
        ("GET /latest/meta-data/iam/security-credentials/ ", 200, "my-role\n"),
        ("GET /latest/meta-data/iam/security-credentials/my-role ", 200, ROLE),
    ])
    .await;
    let found = source::find(&variables(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)])).await.unwrap();
    assert_eq!((&*found.credentials.access_key_id, found.from), ("ROLE", "instance"));
    assert_eq!(found.expiration, UnixMillis::parse_rfc3339("2026-11-21T18:00:00Z"));
    let asked = asked.lock().clone();
    assert_eq!(asked.len(), 3);
    assert!(asked[1..].iter().all(|head| head.contains("x-aws-ec2-metadata-token: imds-token\r\n")));
    let (broken, _) = service(&[("PUT", 403, "")]).await;
    assert!(id(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &broken)]).await.unwrap_err().contains("403"));
}

#[test]
fn they_are_renewed_before_they_expire() {
    let now = UnixMillis::from_seconds(1000);
    for (expires, seconds) in [(None, 300), (Some(1000 + 3600), 300), (Some(1000 + 400), 100), (Some(900), 10)] {
        assert_eq!(pause(expires.map(UnixMillis::from_seconds), now).as_secs(), seconds, "{expires:?}");
    }
}

#[tokio::test]
async fn they_are_at_hand_when_the_start_returns() {
    let pairs =
        BTreeMap::from([("AWS_ACCESS_KEY_ID", Secret::new("ENV")), ("AWS_SECRET_ACCESS_KEY", Secret::new("hidden"))]);
    let host = Arc::new(HostCredentials::new(pairs, Arc::new(Fixed)));
    assert!(host.current().is_none(), "nothing is looked for before it is needed");
    host.start().await;
    host.start().await;
    assert_eq!(host.current().map(|c| c.access_key_id.clone()), Some("ENV".into()));
    assert!(!format!("{host:?}").contains("hidden"));
}
