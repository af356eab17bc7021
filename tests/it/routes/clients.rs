//! Real SDKs whose base URL is a route: they know nothing of it, and never see that a step failed.

use super::{CLAUDE, FIRST, House, KEY, SECOND, and, openai, openai_at, status, step};
use crate::clients::{check, node, project, tool};
use serde_json::json;
use tokio::process::Command;

/// `/chat` and `/claude` answer at their second steps, `/vectors` makes vectors, `/busy` has nobody.
async fn house() -> House {
    let house = House::open().await;
    // What the words of a conversation ask for is what is answered.
    house.upstream.teach(SECOND, None);
    house.claude.teach(CLAUDE, None);
    house.upstream.teach(FIRST, status(503));
    let headers = [("retry-after".to_owned(), "7".to_owned())];
    let busy = crate::upstream::Act { headers: headers.into_iter().collect(), ..status(429) };
    house.upstream.teach("busy", busy);
    let refused = openai_at(SECOND, &house.nowhere().await);
    let cached = json!({"cacheConfig": {"enabled": true}});
    for (path, steps) in [
        ("/chat", json!([openai(FIRST), refused, openai(SECOND)])),
        ("/claude", json!([openai(FIRST), step("anthropic", CLAUDE)])),
        ("/vectors", json!([openai("text-embedding-3-small")])),
        ("/busy", json!([openai("busy")])),
    ] {
        house.route_with(json!({"path": path, "steps": steps})).await;
        house.route_with(and(json!({"path": format!("/kept{path}"), "steps": steps}), cached.clone())).await;
    }
    house
}

async fn works(mut command: Command) {
    let house = house().await;
    command.args(["--base-url", &house.url(""), "--key", KEY]);
    check(&mut command).await;
    assert_eq!((house.upstream.stats().violations, house.claude.stats().violations), (0, 0));
    assert!(house.upstream.asked(FIRST) > 0 && house.upstream.asked(SECOND) + house.claude.asked(CLAUDE) > 0);
}

fn python(tools: &str, script: &str) -> Command {
    let mut command = Command::new(tool(&format!("{tools}/bin/python")));
    command.arg(project("tests/sdk/python").join(script));
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk_for_python_takes_a_route_for_its_base() {
    works(python("openai-3", "route_openai.py")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_major_of_the_openai_sdk_for_python_does_too() {
    works(python("openai-1", "route_openai.py")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_anthropic_sdk_for_python_takes_a_route_for_its_base() {
    works(python("anthropic-2", "route_anthropic.py")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openai_sdk_for_node_takes_a_route_for_its_base() {
    let mut command = Command::new(node());
    command.arg(project("tests/sdk/node/route.mjs")).arg("--modules").arg(tool("node"));
    works(command).await;
}
