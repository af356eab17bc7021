//! Another credential or region when one fails: before the first byte, as often as the row says, one event, one bill.

use super::{AWS_ID, AWS_SECRET, Answer, BOOT, House, SONNET, User, fee, question, streamed, used};
use crate::upstream::{Act, Fault, Options, Upstream};
use serde_json::{Value, json};

const SECOND_ID: &str = "AKIDSECOND";
const SECOND_SECRET: &str = "second/secret+key";

/// An upstream that knows two signers, and a row that has both and two regions.
async fn house(config: Value) -> (House, User) {
    let pair = |id: &str, secret: &str| (id.to_owned(), secret.to_owned());
    let aws_keys = vec![pair(AWS_ID, AWS_SECRET), pair(SECOND_ID, SECOND_SECRET)];
    let options = Options { aws_keys, strict: true, forbidden: vec![BOOT.to_owned()], ..Options::default() };
    let upstream = Upstream::start(options).await.unwrap();
    let gateway = super::setup().start(&upstream).await;
    let house = House::of(upstream, gateway).await;
    let mut row = json!({"modelId": SONNET, "credentials": [
        {"accessKeyId": AWS_ID, "secretAccessKey": AWS_SECRET},
        {"accessKeyId": SECOND_ID, "secretAccessKey": SECOND_SECRET},
    ]});
    row.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    house.model("two", "bedrock-converse", row).await;
    let user = house.user(json!({})).await;
    (house, user)
}

/// Signer and region of each request, oldest first.
fn signers(house: &House) -> Vec<(String, String)> {
    let of = |seen: &crate::upstream::Seen| {
        let signed = seen.header("authorization").unwrap().to_owned();
        let scope: Vec<&str> = signed.split("Credential=").nth(1).unwrap().split('/').collect();
        (scope[0].to_owned(), scope[2].to_owned())
    };
    house.upstream.seen().iter().map(of).collect()
}

/// One event for the request, with the cost of what answered in the end.
async fn billed_once(house: &House, user: &User, answer: &Answer, total: &str) {
    house.spent(user, total).await;
    let event = house.event(answer).await;
    assert_eq!((&event["status"], &event["flags"]), (&json!(200), &json!([])), "{event}");
}

#[tokio::test]
async fn the_second_credential_serves_when_the_first_is_turned_away() {
    let (house, user) = house(json!({})).await;
    let mut calls = 0;
    for status in [429, 503, 403, 500, 408, 424, 401] {
        for ask in [question("two"), streamed(question("two"))] {
            house.upstream.forget();
            house.upstream.script(Act { status: Some(status), ..Act::default() });
            house.upstream.script(used(1000, 100));
            let answer = house.chat(&user, &ask).await;
            assert_eq!(answer.status, 200, "{status}: {}", answer.text);
            let signers = signers(&house);
            assert_eq!(signers.len(), 2, "{status}: {signers:?}");
            assert_ne!(signers[0].0, signers[1].0, "{status}: another one is asked");
            calls += 1;
            billed_once(&house, &user, &answer, &fee(1000 * calls, 100 * calls)).await;
        }
    }
    assert_eq!(house.events().await.len() as u64, calls);
    for secret in [AWS_SECRET, SECOND_SECRET, SECOND_ID, &user.key] {
        assert!(!house.gateway.log().contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn another_region_serves_when_one_throttles() {
    let (house, user) = house(json!({"credentials": [], "regions": ["eu-west-1", "us-west-2"]})).await;
    house.upstream.script(Act { status: Some(429), ..Act::default() });
    let answer = house.chat(&user, &question("two")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut regions: Vec<_> = signers(&house).into_iter().map(|(_, region)| region).collect();
    regions.sort();
    assert_eq!(regions, ["eu-west-1", "us-west-2"]);
}

#[tokio::test]
async fn a_connection_that_is_refused_or_lost_is_tried_again() {
    let (house, user) = house(json!({})).await;
    house.upstream.script(Act { fault: Some(Fault::Close { after: None }), ..Act::default() });
    house.upstream.script(used(1000, 100));
    let answer = house.chat(&user, &question("two")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    billed_once(&house, &user, &answer, &fee(1000, 100)).await;

    // Nobody listens when it begins, somebody does before it has given up.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let config = json!({"modelId": SONNET, "endpoint": format!("http://{free}"), "maxRetries": 9});
    house.model("late", "bedrock-converse", config).await;
    let ask = question("late");
    let (asked, late) = tokio::join!(house.chat(&user, &ask), async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        Upstream::listen(&free, Options::default()).await.unwrap()
    });
    assert_eq!((asked.status, late.stats().requests), (200, 1), "{}", asked.text);

    let config = json!({"modelId": SONNET, "endpoint": "http://127.0.0.1:9", "maxRetries": 1});
    house.model("nowhere", "bedrock-converse", config).await;
    let answer = house.chat(&user, &question("nowhere")).await;
    answer.refused(502, "upstream_connect");
    assert!(!answer.text.contains("127.0.0.1"), "{}", answer.text);
    assert_eq!(house.event(&answer).await["cost_in_usd"], 0.0);
}

#[tokio::test]
async fn as_often_as_the_row_says_and_not_more() {
    for (most, status) in [(0, 429), (1, 503), (2, 429)] {
        let (house, user) = house(json!({"maxRetries": most})).await;
        house.upstream.script(Act { status: Some(status), times: Some(10), ..Act::default() });
        let answer = house.chat(&user, &question("two")).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(house.upstream.stats().requests, most + 1);
        let event = house.event(&answer).await;
        assert_eq!((&event["cost_in_usd"], &event["status"]), (&json!(0.0), &json!(status)), "{event}");
        assert_eq!(house.events().await.len(), 1);
    }
    // What another attempt cannot mend is not tried again.
    for status in [400, 404] {
        let (house, user) = house(json!({})).await;
        house.upstream.script(Act { status: Some(status), ..Act::default() });
        assert!(house.chat(&user, &question("two")).await.status >= 400);
        assert_eq!(house.upstream.stats().requests, 1, "{status}");
    }
    let (house, user) = house(json!({})).await;
    house.upstream.script(Act { status: Some(403), times: Some(10), ..Act::default() });
    house.chat(&user, &question("two")).await.refused(502, "upstream_auth");
    let signers = signers(&house);
    assert_eq!(signers.len(), 2, "each credential is refused once: {signers:?}");
}

#[tokio::test]
async fn never_after_the_first_byte() {
    let (house, user) = house(json!({})).await;
    for fault in [Fault::Close { after: Some(3) }, Fault::Truncate, Fault::ErrorFrame { after: 3 }] {
        let before = house.upstream.stats().requests;
        house.upstream.script(Act { fault: Some(fault.clone()), chunks: Some(9), ..Act::default() });
        let answer = house.chat(&user, &streamed(question("two"))).await;
        let chunks = answer.chunks();
        assert!(chunks.last().unwrap()["error"].is_object(), "{fault:?}: {}", answer.text);
        assert_eq!(house.upstream.stats().requests, before + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_row_that_lacks_something_says_what() {
    let house = House::open().await;
    let user = house.user(json!({})).await;
    for (name, provider, config, text) in [
        ("a", "bedrock-converse", json!({}), "modelId"),
        ("b", "openai-compatible", json!({"apiKey": "sk-hidden-value", "model": "m"}), "baseURL"),
        ("c", "azure-openai", json!({"baseURL": "http://127.0.0.1:9", "apiKey": "sk-hidden-value"}), "apiVersion"),
        ("d", "ollama", json!({"host": "http://127.0.0.1:9"}), "model"),
    ] {
        let row = json!({"name": name, "provider": provider, "config": config, "price_in": 1, "price_out": 1});
        let saved = house.post(BOOT, "/admin/model/save", &row).await;
        if saved.status == 400 {
            assert!(saved.text.contains(text) && !saved.text.contains("sk-hidden-value"), "{}", saved.text);
            continue;
        }
        let id = saved.json()["data"]["id"].clone();
        house.manage("/admin/group/bind-or-unbind-model", json!({"group_id": 1, "model_id": id})).await;
        let said = house.chat(&user, &question(name)).await.refused(500, "provider_misconfigured");
        assert_eq!(said, format!("You must specify the parameters '{text}' in the backend model configuration."));
    }
    // The host has no credentials of its own.
    let bare = crate::support::Setup::default().env("ADMIN_API_KEY", BOOT).env("AWS_EC2_METADATA_DISABLED", "true");
    let house = House::with(bare).await;
    let user = house.user(json!({})).await;
    let answer = house.chat(&user, &question("claude-3-sonnet")).await;
    assert!(matches!(answer.status, 500 | 502), "our fault, not the caller's: {} {}", answer.status, answer.text);
    answer.refused(answer.status, "provider_misconfigured");
}
