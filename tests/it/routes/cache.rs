//! Kept answers: who gets them, for how long, in which form, and that they cost nothing.

use super::{
    CLAUDE, DEAR, FIRST, House, KEY, PATH, SECOND, and, openai, outcome, question, status, step, streamed, text, used,
};
use crate::support::eventually;
use crate::unified::Answer;
use crate::upstream::{Act, Call, Fault};
use serde_json::{Value, json};

/// A route at [`PATH`] that keeps its answers.
async fn keeping(house: &House, steps: Value) -> Value {
    house.route_with(json!({"steps": steps, "cacheConfig": {"enabled": true}})).await
}

/// A question that nobody has asked yet.
fn about(subject: &str) -> Value {
    and(question(), json!({"messages": [{"role": "user", "content": subject}]}))
}

fn hit(answer: &Answer) {
    assert_eq!((answer.status, answer.header("x-cache")), (200, "hit"), "{answer:?}");
    assert!(answer.header("age").parse::<u64>().is_ok_and(|age| age < 60), "{answer:?}");
}

fn miss(answer: &Answer) {
    assert_eq!((answer.status, answer.header("x-cache"), answer.header("age")), (200, "miss", ""), "{answer:?}");
}

#[tokio::test]
async fn c143_the_second_time_nobody_is_asked_and_nothing_is_paid() {
    let house = House::open().await;
    let made =
        house.route_with(json!({"steps": [openai(SECOND)], "cacheConfig": {"enabled": true, "ttl": "3s"}})).await;
    for (n, body) in [(1, question()), (2, streamed(about("streams")))] {
        let first = house.ask(&body).await;
        miss(&first);
        let second = house.ask(&body).await;
        hit(&second);
        assert_eq!(second.text, first.text);
        let kind = |answer: &Answer| answer.header("content-type").split(';').next().unwrap().to_owned();
        assert_eq!(kind(&second), kind(&first));
        assert_eq!(house.upstream.stats().requests, n);
        assert_eq!(outcome(&house.event(&first).await), (1, DEAR, 200, json!([])));
        let event = house.event(&second).await;
        assert_eq!(
            (&event["cost_in_usd"], &event["flags"], &event["provider"], &event["status"], &event["routeId"]),
            (&json!(0.0), &json!(["cached"]), &json!("cached"), &json!(200), &made["id"]),
            "{event}"
        );
    }
    assert_ne!(house.ask(&question()).await.header("x-tollgate-event-id"), "", "a hit is an admitted request");
    // After its time it is gone.
    eventually("the answer expires", || async { house.ask(&question()).await.header("x-cache") == "miss" }).await;
    assert_eq!(house.upstream.stats().requests, 3);
    hit(&house.ask(&question()).await);
}

#[tokio::test]
async fn without_a_cache_everything_is_asked() {
    let house = House::open().await;
    house.route(json!([openai(SECOND)])).await;
    for n in 1..=3 {
        let answer = house.ask(&question()).await;
        assert_eq!((answer.header("x-cache"), house.upstream.stats().requests), ("", n));
    }
}

#[tokio::test]
async fn c144_what_differs_in_anything_is_another_question() {
    let house = House::open().await;
    keeping(&house, json!([openai(SECOND)])).await;
    let picture = |url: &str| json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]);
    let tool = |name: &str| json!([{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}]);
    let others = [
        json!({}),
        json!({"temperature": 0.1}),
        json!({"temperature": 0.2}),
        json!({"max_tokens": 201}),
        json!({"seed": 1}),
        json!({"n": 2}),
        json!({"tools": tool("a")}),
        json!({"tools": tool("b")}),
        json!({"messages": picture("data:image/png;base64,AAAA")}),
        json!({"messages": picture("data:image/png;base64,BBBB")}),
        json!({"messages": [{"role": "system", "content": "hello"}]}),
        json!({"messages": [{"role": "user", "content": "Hello"}]}),
        json!({"response_format": {"type": "json_object"}}),
        json!({"unheard_of": true}),
    ];
    for (n, other) in others.iter().enumerate() {
        miss(&house.ask(&and(question(), other.clone())).await);
        assert_eq!(house.upstream.stats().requests, n as u64 + 1, "{other}");
    }
    for other in &others {
        hit(&house.ask(&and(question(), other.clone())).await);
    }
    // What says the same in other letters is the same, and so is another user's question.
    let again = r#" { "max_tokens":200,"messages" : [{"content":"h\u0065llo","role":"user"}], "model":"whatever" } "#;
    let request = house.gateway.http.post(house.url(PATH)).bearer_auth(KEY).header("content-type", "application/json");
    hit(&Answer::of(request.body(again)).await);
    hit(&house.ask(&and(question(), json!({"user": "somebody"}))).await);
    assert_eq!(house.upstream.stats().requests, others.len() as u64);
}

#[tokio::test]
async fn c145_only_good_answers_are_kept() {
    let house = House::open().await;
    keeping(&house, json!([openai(FIRST), openai(SECOND)])).await;
    house.upstream.teach(SECOND, status(500));
    for failure in [400, 429, 500, 503, 404] {
        house.upstream.teach(FIRST, status(failure));
        for body in [question(), streamed(question())] {
            let answer = house.ask(&body).await;
            assert!(answer.status >= 400 && answer.header("x-cache") != "hit", "{failure}: {answer:?}");
        }
    }
    // A stream that broke is no answer either.
    for fault in [Fault::Close { after: Some(3) }, Fault::ErrorFrame { after: 3 }, Fault::NoTerminator] {
        house.upstream.teach(FIRST, Act { fault: Some(fault.clone()), chunks: Some(9), ..Act::default() });
        let before = house.upstream.stats().requests;
        for _ in 0..2 {
            house.ask(&streamed(question())).await;
        }
        assert_eq!(house.upstream.stats().requests, before + 2, "{fault:?}");
    }
    house.upstream.teach(FIRST, used(1000, 100));
    miss(&house.ask(&question()).await);
    hit(&house.ask(&question()).await);
}

#[tokio::test]
async fn one_keys_answers_are_for_that_key_unless_they_are_shared() {
    let house = House::open().await;
    let other = house.another_key("gw-other-key", json!({})).await;
    let as_other = async |path: &str| {
        Answer::of(house.gateway.http.post(house.url(path)).bearer_auth("gw-other-key").json(&question())).await
    };
    let keys = json!([house.key, other]);
    house.route_with(json!({"steps": [openai(SECOND)], "keyIds": keys, "cacheConfig": {"enabled": true}})).await;
    miss(&house.ask(&question()).await);
    miss(&as_other(PATH).await);
    hit(&house.ask(&question()).await);
    hit(&as_other(PATH).await);
    let shared = json!({"enabled": true, "shared": true});
    house
        .route_with(json!({"steps": [openai(SECOND)], "keyIds": keys, "path": "/shared", "cacheConfig": shared}))
        .await;
    miss(&house.ask_at("/shared", &question()).await);
    hit(&as_other("/shared").await);
    assert_eq!(house.upstream.stats().requests, 3);
    let events = house.gateway.events_settled(&other, 3).await;
    assert_eq!(
        events.iter().filter(|event| event["cost_in_usd"] == 0.0).count(),
        2,
        "each pays for itself: {events:#?}"
    );
}

#[tokio::test]
async fn a_changed_route_forgets() {
    let house = House::open().await;
    let made = keeping(&house, json!([openai(FIRST)])).await;
    miss(&house.ask(&question()).await);
    hit(&house.ask(&question()).await);
    let at = format!("/api/routes/{}", made["id"].as_str().unwrap());
    house.gateway.admin("PATCH", &at, Some(json!({"steps": [openai(SECOND)]}))).await;
    let answer = house.ask(&question()).await;
    miss(&answer);
    assert_eq!(answer.header("x-tollgate-model"), SECOND);
    house.gateway.admin("DELETE", &at, None).await;
    assert_eq!(house.ask(&question()).await.status, 404, "a kept answer is no route");
}

#[tokio::test]
async fn a_client_may_want_nothing_of_it() {
    let house = House::open().await;
    keeping(&house, json!([openai(SECOND)])).await;
    let asking =
        async |body: &Value, wish: &str| Answer::of(house.request(PATH, body).header("cache-control", wish)).await;
    // Not kept.
    let secret = about("a secret");
    assert_ne!(asking(&secret, "no-store").await.header("x-cache"), "hit");
    miss(&house.ask(&secret).await);
    assert_ne!(asking(&secret, "no-store").await.header("x-cache"), "hit", "nor taken from it");
    // Asked again, and the newer answer is kept.
    house.upstream.teach(SECOND, Act { content: Some("old".into()), ..Act::default() });
    let news = about("the news");
    assert_eq!(text(&house.ask(&news).await), "old");
    house.upstream.teach(SECOND, Act { content: Some("new".into()), ..Act::default() });
    assert_eq!(text(&house.ask(&news).await), "old");
    let fresh = asking(&news, "no-cache").await;
    assert_eq!((text(&fresh), fresh.header("x-cache") == "hit"), ("new".to_owned(), false));
    let kept = house.ask(&news).await;
    assert_eq!((text(&kept), kept.header("x-cache")), ("new".to_owned(), "hit"));
}

/// Text, thoughts and tool calls, as a whole and as a stream.
#[tokio::test]
async fn a_whole_answer_is_replayed_as_a_stream_and_back() {
    let house = House::open().await;
    keeping(&house, json!([openai(SECOND)])).await;
    let call = Call { name: "weather".into(), arguments: r#"{"city": "São Paulo"}"#.into() };
    let tokens = used(1000, 100);
    house.upstream.teach(SECOND, Act { content: Some("añ😀é \"quoted\"\n".into()), ..tokens.clone() });
    for (subject, first_streams) in [("whole first", false), ("stream first", true)] {
        let shape = |stream: bool| if stream { streamed(about(subject)) } else { about(subject) };
        miss(&house.ask(&shape(first_streams)).await);
        for stream in [!first_streams, first_streams] {
            let answer = house.ask(&shape(stream)).await;
            hit(&answer);
            assert_eq!(text(&answer), "añ😀é \"quoted\"\n", "{subject} {stream}");
            let form = if stream { "text/event-stream" } else { "application/json" };
            assert!(answer.header("content-type").starts_with(form), "{answer:?}");
            assert_eq!(answer.header("content-length").is_empty(), stream, "streams have no length: {answer:?}");
            if stream {
                let chunks = answer.chunks();
                assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop", "{}", answer.text);
                assert!(!answer.text.contains("\"usage\":{"), "nobody asked for it: {}", answer.text);
            } else {
                let usage = answer.json()["usage"].clone();
                assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(1000), &json!(100)));
            }
        }
    }
    house.upstream.teach(SECOND, Act { calls: vec![call.clone(), call.clone()], ..tokens });
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    for (subject, first_streams) in [("tools", false), ("streamed tools", true)] {
        let body = and(about(subject), json!({"tools": tools, "stream_options": {"include_usage": true}}));
        let shape = |stream: bool| if stream { streamed(body.clone()) } else { body.clone() };
        miss(&house.ask(&shape(first_streams)).await);
        let answer = house.ask(&shape(!first_streams)).await;
        hit(&answer);
        let (arguments, finish) = if first_streams {
            let choice = answer.json()["choices"][0].clone();
            let calls = choice["message"]["tool_calls"].as_array().unwrap().clone();
            let arguments = calls.iter().map(|one| one["function"]["arguments"].as_str().unwrap().to_owned());
            (arguments.collect::<Vec<_>>(), choice["finish_reason"].clone())
        } else {
            let chunks = answer.chunks();
            let mut arguments = vec![String::new(); 2];
            for call in chunks.iter().flat_map(|c| c["choices"][0]["delta"]["tool_calls"].as_array().cloned()).flatten()
            {
                arguments[call["index"].as_u64().unwrap() as usize] +=
                    call["function"]["arguments"].as_str().unwrap_or_default();
            }
            let told = chunks.iter().rfind(|chunk| chunk["usage"].is_object()).expect("usage was asked for");
            assert_eq!(told["usage"]["prompt_tokens"], 1000, "{told}");
            let finish = chunks.iter().find_map(|c| c["choices"][0].get("finish_reason").filter(|f| f.is_string()));
            (arguments, finish.unwrap().clone())
        };
        assert_eq!((arguments, finish), (vec![call.arguments.clone(); 2], json!("tool_calls")), "{}", answer.text);
    }
}

#[tokio::test]
async fn each_form_of_a_client_has_answers_of_its_own() {
    let house = House::open().await;
    keeping(&house, json!([openai(FIRST), step("anthropic", CLAUDE)])).await;
    let forms = [
        ("", question()),
        ("/v1/messages", json!({"model": "m", "max_tokens": 200, "messages": [{"role": "user", "content": "hello"}]})),
        ("/responses", json!({"model": "m", "input": "hello"})),
    ];
    for (n, (tail, body)) in forms.iter().enumerate() {
        let path = format!("{PATH}{tail}");
        for stream in [n % 2 == 0, n % 2 != 0] {
            let body = if stream { streamed(body.clone()) } else { body.clone() };
            let first = house.ask_at(&path, &body).await;
            assert_eq!(first.status, 200, "{tail} {stream}: {}", first.text);
            assert!(first.text.contains("Hello!") || stream, "{tail} {stream}: {}", first.text);
            let second = house.ask_at(&path, &body).await;
            hit(&second);
            let end = ["[DONE]", "message_stop", "response.completed"][n];
            assert!(!stream || second.text.contains(end), "{tail}: {}", second.text);
        }
        assert_eq!(house.upstream.asked(FIRST), n as u64 + 1, "{tail}: the other form is made of the first");
    }
}

#[tokio::test]
async fn vectors_are_kept_too() {
    let house = House::open().await;
    keeping(&house, json!([openai("text-embedding-3-small")])).await;
    let body = json!({"model": "m", "input": ["a", "b"], "dimensions": 8});
    let first = house.ask(&body).await;
    miss(&first);
    let second = house.ask(&body).await;
    hit(&second);
    assert_eq!(first.text, second.text);
    miss(&house.ask(&and(body, json!({"encoding_format": "base64"}))).await);
}

#[tokio::test]
async fn metrics_tell_of_hits() {
    let house = House::open().await;
    keeping(&house, json!([openai(SECOND)])).await;
    for _ in 0..3 {
        house.ask(&question()).await;
    }
    house.gateway.idle().await;
    let metrics = house.gateway.metrics().await;
    for (result, count) in [("hit", 2), ("miss", 1)] {
        let line = metrics.lines().find(|line| {
            line.starts_with("tollgate_route_cache_total{") && line.contains(&format!("result=\"{result}\""))
        });
        assert!(line.is_some_and(|line| line.ends_with(&format!(" {count}"))), "{result}: {line:?}");
    }
}
