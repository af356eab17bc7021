//! Who gets in, and what is the same at every endpoint.

use super::*;
use crate::admin::tests::support::Desk;
use std::sync::atomic::Ordering as Atomic;

const ADMIN_GETS: &[&str] = &[
    "/admin/api-key/list",
    "/admin/api-key/detail/1",
    "/admin/api-key/detail?id=1",
    "/admin/api-key/list-model",
    "/admin/model/list",
    "/admin/model/list-providers",
    "/admin/model/detail/1",
    "/admin/group/list",
    "/admin/group/detail/1",
    "/admin/group/list-model",
];
const ADMIN_POSTS: &[&str] = &[
    "/admin/api-key/apply",
    "/admin/api-key/update",
    "/admin/api-key/reset-key",
    "/admin/api-key/reset",
    "/admin/api-key/delete",
    "/admin/api-key/bind-or-unbind-model",
    "/admin/model/save",
    "/admin/model/delete",
    "/admin/model/save-kb-model",
    "/admin/group/save",
    "/admin/group/delete",
    "/admin/group/bind-or-unbind-model",
];
const USER_GETS: &[&str] = &["/user/api-key/mine", "/user/model/list", "/user/model/list-for-brclient"];

#[tokio::test]
async fn c13_c14_without_a_known_key_nothing_is_answered() {
    let console = Console::open();
    let gets = ADMIN_GETS.iter().chain(USER_GETS).map(|path| (Method::GET, *path));
    for (method, path) in gets.chain(ADMIN_POSTS.iter().map(|path| (Method::POST, *path))) {
        let text =
            console.call(method.clone(), path, "", "{}").await.refused(401, "authentication_error", "missing_api_key");
        assert_eq!(text, "Unauthorized: api key required.", "{path}");
        for wrong in ["br-nobody", BOOT.split_at(1).1, &format!("{BOOT}x"), &BOOT.to_uppercase()] {
            console.call(method.clone(), path, wrong, "{}").await.unknown_key();
        }
    }
}

#[tokio::test]
async fn c13_c21_the_error_is_written_exactly_so() {
    let answer = Console::open().get_as("", "/admin/api-key/list").await;
    assert_eq!(
        answer.text,
        r#"{"success":false,"data":"Unauthorized: api key required.","error":{"message":"Unauthorized: api key required.","type":"authentication_error","code":"missing_api_key","param":null}}"#
    );
}

#[tokio::test]
async fn c10_c11_without_a_boot_key_nothing_is_one() {
    let console = Console::with(&[""], Origins::Any);
    assert_eq!(console.get_as("", "/admin/api-key/list").await.status, 401);
    for empty in ["Bearer", "Bearer ", "Bearer   ", "bearer x", "Basic eDp4"] {
        let request = Request::get("/admin/api-key/list").header("authorization", empty).header("x-api-key", "");
        assert_eq!(console.send(request.body(Body::empty()).unwrap()).await.status, 401, "{empty}");
    }
}

#[tokio::test]
async fn c15_a_user_manages_nothing() {
    let console = Console::open();
    let (_, user) = console.key(json!({})).await;
    let gets = ADMIN_GETS.iter().map(|path| (Method::GET, *path));
    for (method, path) in gets.chain(ADMIN_POSTS.iter().map(|path| (Method::POST, *path))) {
        let text = console.call(method, path, &user, "{}").await.refused(403, "permission_error", "not_admin");
        assert_eq!(text, "Unauthorized: you are not an admin role.", "{path}");
    }
    console.get_as(&user, "/admin/nothing").await.refused(403, "permission_error", "not_admin");
}

#[tokio::test]
async fn an_admin_does_everything_and_has_what_a_user_has() {
    let console = Console::open();
    let (_, admin) = console.key(json!({"role": "admin"})).await;
    for path in ADMIN_GETS.iter().chain(USER_GETS) {
        let answer = console.get_as(&admin, path).await;
        assert!(answer.status == 200 || answer.status == 404, "{path}: {}", answer.text);
    }
    assert_eq!(console.post_as(&admin, "/admin/api-key/apply", json!({"name": "n"})).await.data()["id"], json!(2));
}

#[tokio::test]
async fn c16_the_empty_list_is_written_exactly_so() {
    let answer = Console::open().get("/admin/api-key/list").await;
    assert_eq!(answer.text, r#"{"success":true,"data":{"items":[],"total":"0","limit":20,"offset":0}}"#);
    assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
}

#[tokio::test]
async fn c17_the_boot_key_owns_nothing() {
    let console = Console::open();
    let text = console.get("/user/api-key/mine").await.invalid();
    assert_eq!(text, "Please create an admin key via the API first.");
    for path in ["/user/model/list", "/user/model/list-for-brclient"] {
        console.get(path).await.refused(403, "permission_error", "boot_key");
    }
}

#[tokio::test]
async fn both_secrets_are_boot_keys() {
    let console = Console::with(&["pass", "api"], Origins::Any);
    for secret in ["pass", "api"] {
        assert_eq!(console.get_as(secret, "/admin/group/list").await.status, 200);
    }
}

#[tokio::test]
async fn the_key_may_come_in_either_header_and_x_api_key_wins() {
    let console = Console::open();
    let (_, user) = console.key(json!({})).await;
    for (headers, status) in [
        (vec![("x-api-key", BOOT)], 200),
        (vec![("authorization", &*format!("bEARER  {BOOT} "))], 200),
        (vec![("authorization", &*format!("Bearer {user}")), ("x-api-key", BOOT)], 200),
        (vec![("authorization", &*format!("Bearer {BOOT}")), ("x-api-key", &*user)], 403),
        (vec![("authorization", &*format!("Bearer {BOOT}")), ("x-api-key", "")], 200),
        (vec![("authorization", BOOT)], 401),
    ] {
        let mut request = Request::get("/admin/api-key/list");
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        assert_eq!(console.send(request.body(Body::empty()).unwrap()).await.status, status, "{headers:?}");
    }
}

#[tokio::test]
async fn c20_no_spelling_of_a_path_goes_around_the_door() {
    let console = Console::open();
    let (_, user) = console.key(json!({})).await;
    for path in [
        "/ADMIN/api-key/list",
        "//admin/api-key/list",
        "/admin/../admin/api-key/list",
        "/%61dmin/api-key/list",
        "/user/../admin/api-key/list",
        "/user/%2e%2e/admin/api-key/list",
        "/api/../admin/api-key/list",
        "/healthz/../admin/api-key/list",
        "/admin/api-key/list/",
        "/admin//api-key/LIST",
    ] {
        let text = console.get_as("", path).await.refused(401, "authentication_error", "missing_api_key");
        assert_eq!(text, "Unauthorized: api key required.");
        console.get_as(&user, path).await.refused(403, "permission_error", "not_admin");
        assert_eq!(console.get(path).await.data()["total"], json!("1"), "{path}");
    }
    let text = console.get("/administrator/api-key/list").await.status;
    assert_ne!(text, 200);
}

#[tokio::test]
async fn c22_a_preflight_needs_no_key() {
    let console = Console::open();
    for path in ["/admin/api-key/apply", "/user/api-key/mine", "/admin/nothing", "//ADMIN/x"] {
        let request = Request::options(path)
            .header("origin", "https://console.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "Authorization,x-custom");
        let answer = console.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""), "{path}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        assert_eq!(answer.headers["access-control-allow-methods"], "GET,HEAD,PUT,POST,DELETE,PATCH,OPTIONS");
        assert_eq!(
            answer.headers["access-control-allow-headers"],
            "authorization, x-api-key, content-type, session-id, think-budget, x-custom"
        );
        assert_eq!(answer.headers["access-control-max-age"], "600");
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
    }
}

#[tokio::test]
async fn c23_only_listed_origins_are_told_that_they_may() {
    let console = Console::with(&[BOOT], Origins::parse("https://a.example").unwrap());
    for (origin, told) in [("https://a.example", Some("https://a.example")), ("https://b.example", None)] {
        for (method, key) in [(Method::GET, BOOT), (Method::GET, ""), (Method::OPTIONS, "")] {
            let mut request = Request::builder().method(method).uri("/admin/group/list").header("origin", origin);
            if !key.is_empty() {
                request = request.header("x-api-key", key);
            }
            let answer = console.send(request.body(Body::empty()).unwrap()).await;
            let allowed = answer.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
            assert_eq!((allowed, answer.headers["vary"].to_str().unwrap()), (told, "Origin"));
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_in_the_envelope() {
    let console = Console::open();
    for path in ["/admin", "/admin/", "/admin/nothing", "/admin/api-key", "/user/nothing", "/admin/api-key/list/1"] {
        assert_eq!(console.get(path).await.refused(404, "not_found_error", "unknown_url"), "Not found.", "{path}");
    }
    let wrong = console.post("/admin/api-key/list", json!({})).await;
    assert_eq!(wrong.headers["allow"], "GET,HEAD");
    assert_eq!(wrong.refused(405, "invalid_request_error", "method_not_allowed"), "Method not allowed.");
    let wrong = console.get("/admin/api-key/apply").await;
    assert_eq!(wrong.headers["allow"], "POST");
    wrong.refused(405, "invalid_request_error", "method_not_allowed");
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_told_and_change_nothing() {
    let console = Console::open();
    for path in ADMIN_POSTS {
        for body in ["", "{", "[]", "1", "null", "\"x\"", "{\"name\":}", "{} {}"] {
            let text = console.call(Method::POST, path, BOOT, body).await.refused(
                400,
                "invalid_request_error",
                "invalid_json",
            );
            assert_eq!(text, "Invalid JSON body.", "{path} {body}");
        }
        let invalid_text = Body::from(b"{\"name\":\"\xff\"}".to_vec());
        console.call(Method::POST, path, BOOT, invalid_text).await.refused(
            400,
            "invalid_request_error",
            "invalid_json",
        );
        let large = json!({"name": "x".repeat(1024 * 1024)}).to_string();
        let text = console.call(Method::POST, path, BOOT, large).await.refused(
            413,
            "invalid_request_error",
            "payload_too_large",
        );
        assert_eq!(text, "Request body too large.");
    }
    assert_eq!(console.list("/admin/api-key/list", "id").await.0, "0");
}

#[tokio::test]
async fn a_store_that_fails_is_told_without_its_words() {
    let desk = Desk::with(&["boot"], 10);
    desk.store.broken.store(true, Atomic::Relaxed);
    let request = Request::get("/admin/api-key/list").header("x-api-key", "boot").body(Body::empty()).unwrap();
    let text = desk.send(request).await.refused(503, "api_error", "database_unavailable");
    assert_eq!(text, "Database is unavailable.");
}

#[tokio::test]
async fn the_configuration_api_beside_it_keeps_its_own_door_and_errors() {
    let console = Console::open();
    let (_, admin) = console.key(json!({"role": "admin"})).await;
    let with = |key: &str| Request::get("/api/provider-settings").header("x-api-key", key).body(Body::empty()).unwrap();
    assert_eq!(console.send(with(BOOT)).await.status, 200);
    let refused = console.send(with(&admin)).await;
    refused.problem(401, "/errors/unauthorized", "/api/provider-settings");
}

#[tokio::test]
async fn the_face_alone_serves_nothing_else() {
    let console = Console::open();
    let alone = crate::admin::management(console.state.clone());
    for path in ["/", "/api/health", "/metrics", "/v1/models"] {
        let request = Request::get(path).header("x-api-key", BOOT).body(Body::empty()).unwrap();
        let response = alone.clone().oneshot(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers().contains_key("x-request-id")),
            (404, true),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_sane_request_id_comes_back() {
    let console = Console::open();
    let request = Request::get("/admin/nothing").header("x-request-id", "mine-1").body(Body::empty()).unwrap();
    assert_eq!(console.send(request).await.headers["x-request-id"], "mine-1");
}
