//! Who gets in: health, boot key, keys, paths, cross-origin requests; on the listener for everything and on the admin's.

use super::{Answer, BOOT, House, question, raw, streamed};
use crate::support::{Gateway, Setup};
use crate::upstream::{Act, Options, Upstream};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

fn error_of(answer: &Answer) -> (u16, bool, String) {
    let body = answer.json();
    assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string(), "{body}");
    (answer.status, body["success"] == json!(false), body["data"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn c06_health_needs_no_key() {
    let house = House::open().await;
    for accept in [None, Some("*/*"), Some("application/json")] {
        let mut request = house.gateway.http.get(format!("{}/", house.base));
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let answer = Answer::of(request).await;
        assert_eq!((answer.status, &*answer.text), (200, "ok"), "{accept:?}");
        assert!(answer.header("content-type").starts_with("text/plain"), "{:?}", answer.headers);
    }
    assert_eq!(raw::get(&house.base, "/favicon.ico").await.0, 200);
}

#[tokio::test]
async fn c10_c11_no_boot_key_no_entry() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&upstream).await;
    for key in [None, Some(""), Some(" "), Some(BOOT)] {
        let mut request = gateway.http.get(format!("{}/admin/api-key/list", gateway.admin));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        assert_eq!(Answer::of(request).await.status, 401, "{key:?}");
    }
    let empty = Setup::default().env("ADMIN_API_KEY", "").env("TOLLGATE_SINGLE_LISTEN", "").start(&upstream).await;
    let request = empty.http.get(format!("{}/admin/api-key/list", empty.admin)).header("authorization", "Bearer ");
    assert_eq!(Answer::of(request).await.status, 401);
}

#[tokio::test]
async fn c12_what_the_environment_lacks_is_in_a_file() {
    let upstream = Upstream::start(Options::default()).await.unwrap();
    let mut gateway = Gateway::start(&upstream).await;
    gateway.kill();
    let lines = "ADMIN_API_KEY=br_from-the-file\nTOLLGATE_SINGLE_LISTEN=127.0.0.1:0\n";
    std::fs::write(gateway.dir().join(".env"), lines).unwrap();
    gateway.restart().await;
    let house = House::of(upstream, gateway).await;
    assert_eq!(house.get("br_from-the-file", "/admin/api-key/list").await.status, 200);
}

#[tokio::test]
async fn c13_c14_c15_c17_c18_c21_who_may_what() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let unauthorised = "Unauthorized: api key required.";
    for base in [&house.base, &house.gateway.admin] {
        let get = |path: &str, key: Option<&str>| {
            let mut request = house.gateway.http.get(format!("{base}{path}"));
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            Answer::of(request)
        };
        let list = "/admin/api-key/list";
        assert_eq!(error_of(&get(list, None).await), (401, true, unauthorised.into()));
        assert_eq!(error_of(&get(list, Some("br-x")).await), (401, true, "Unauthorized: api key error.".into()));
        for path in [list, "/admin/model/list", "/admin/group/list", "/admin/nothing"] {
            let answer = get(path, Some(&user.key)).await;
            assert_eq!(error_of(&answer), (403, true, "Unauthorized: you are not an admin role.".into()), "{path}");
        }
        let answer = get("/user/api-key/mine", Some(BOOT)).await;
        assert_eq!(error_of(&answer), (400, true, "Please create an admin key via the API first.".into()));
        assert_eq!(error_of(&get("/user/model/list", Some(BOOT)).await).0, 403);
        assert_eq!(get("/user/api-key/mine", Some(&user.key)).await.json()["data"]["id"], user.id);
    }
    assert_eq!(error_of(&house.get("br-x", "/v1/models").await).0, 401);
    let boot = house.post(BOOT, "/v1/chat/completions", &question("claude-3-sonnet")).await;
    assert_eq!(error_of(&boot), (403, true, "The boot key cannot call models. Create a key first.".into()));
    assert_eq!(house.get(BOOT, "/v1/models").await.status, 200, "it sees everything");
    assert_eq!(house.upstream.stats().requests, 0);
}

#[tokio::test]
async fn c19_the_key_comes_under_either_name() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let ask = |headers: &[(&'static str, String)]| {
        let headers: HeaderMap = headers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
        Answer::of(house.gateway.http.get(format!("{}/v1/models", house.base)).headers(headers))
    };
    let bearer = |key: &str| ("authorization", format!("Bearer {key}"));
    assert_eq!(ask(&[("x-api-key", user.key.clone())]).await.status, 200);
    assert_eq!(ask(&[("authorization", format!("bearer  {} ", user.key))]).await.status, 200);
    assert_eq!(ask(&[bearer("br-x"), ("x-api-key", user.key.clone())]).await.status, 200, "the second wins");
    assert_eq!(ask(&[bearer(&user.key), ("x-api-key", "br-x".into())]).await.status, 401);
    assert_eq!(ask(&[]).await.status, 401);
}

#[tokio::test]
async fn c20_no_spelling_of_a_path_is_a_way_around() {
    let house = House::open().await;
    for base in [&house.base, &house.gateway.admin] {
        for path in [
            "/ADMIN/api-key/list",
            "//admin/api-key/list",
            "/admin/../admin/api-key/list",
            "/admin/./api-key/list",
            "/%61dmin/api-key/list",
            "/v1/../admin/api-key/list",
            "/user/../admin/api-key/list",
            "/admin//api-key/list",
            "/manager/../admin/api-key/list",
            "/admin/api-key/list?x=/v1/models",
            "/bot/feishu/..%2f..%2fadmin/api-key/list",
        ] {
            let (status, answer) = raw::get(base, path).await;
            assert!(status >= 400 && !answer.contains("items"), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn c22_c23_pages_of_other_origins_may_call() {
    let house = House::open().await;
    let user = house.user(json!({"month_quota": 0})).await;
    for path in ["/v1/chat/completions", "/admin/api-key/list", "/user/api-key/mine"] {
        let request = house.gateway.http.request(reqwest::Method::OPTIONS, format!("{}{path}", house.base));
        let request = request.header("origin", "https://chat.example").header("access-control-request-method", "POST");
        let asked = "authorization, content-type, session-id, x-custom";
        let answer = Answer::of(request.header("access-control-request-headers", asked)).await;
        assert_eq!((answer.status, &*answer.text), (204, ""), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        assert!(answer.header("access-control-allow-methods").contains("POST"), "{path} {:?}", answer.headers);
        let allowed = answer.header("access-control-allow-headers").to_ascii_lowercase();
        assert!(asked.split(", ").all(|name| allowed.contains(name)), "{path}: {allowed}");
        assert_eq!(answer.header("access-control-max-age"), "600", "{path}");
    }
    let rich = house.user(json!({})).await;
    let sonnet = question("claude-3-sonnet");
    let from_a_page = |key: &str, body: &Value| {
        Answer::of(house.request(key, "/v1/chat/completions", body).header("origin", "https://chat.example"))
    };
    house.upstream.script(Act { status: Some(400), ..Act::default() });
    for (key, body, status) in [
        (&*rich.key, &sonnet, 400),
        ("br-x", &sonnet, 401),
        (&*user.key, &sonnet, 402),
        (&*rich.key, &question("nothing"), 404),
        (&*rich.key, &sonnet, 200),
        (&*rich.key, &streamed(sonnet.clone()), 200),
    ] {
        let answer = from_a_page(key, body).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (status, "*"), "{}", answer.text);
        assert!(!answer.header("x-request-id").is_empty());
    }
    let models = house.gateway.http.get(format!("{}/v1/models", house.base)).bearer_auth(&rich.key);
    let answer = Answer::of(models.header("origin", "https://chat.example")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "*"));
    let outside = house.gateway.http.get(format!("{}/admin/api-key/list", house.base));
    assert_eq!(Answer::of(outside).await.header("access-control-allow-origin"), "*");
}

#[tokio::test]
async fn c23_only_pages_of_listed_origins_where_some_are_listed() {
    let house = House::with(super::setup().env("CORS_ALLOW_ORIGINS", "https://chat.example")).await;
    let user = house.user(json!({})).await;
    for path in ["/v1/models", "/user/api-key/mine"] {
        for (origin, allowed) in [("https://chat.example", "https://chat.example"), ("https://other.example", "")] {
            for method in [reqwest::Method::GET, reqwest::Method::OPTIONS] {
                let request = house.gateway.http.request(method.clone(), format!("{}{path}", house.base));
                let answer = Answer::of(request.bearer_auth(&user.key).header("origin", origin)).await;
                assert_eq!(answer.header("access-control-allow-origin"), allowed, "{method} {path} {origin}");
                assert!(answer.header("vary").eq_ignore_ascii_case("origin"), "{method} {path}: {:?}", answer.headers);
            }
        }
    }
}

#[tokio::test]
async fn wrong_methods_and_paths_are_said_in_the_same_form() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    let answer = house.get(&user.key, "/v1/chat/completions").await;
    assert_eq!(answer.refused(405, "method_not_allowed"), "Method not allowed.");
    assert_eq!(answer.header("allow"), "POST");
    assert_eq!(house.get(&user.key, "/v1/nothing").await.refused(404, "unknown_url"), "Not found.");
    assert_eq!(house.get(&user.key, "/nothing").await.refused(404, "unknown_url"), "Not found.");
    let request = house.gateway.http.post(format!("{}/v1/chat/completions", house.base)).bearer_auth(&user.key);
    let answer = Answer::of(request.header("content-type", "application/json").body("{")).await;
    assert_eq!(answer.refused(400, "invalid_json"), "Invalid JSON body.");
}
