//! Which paths a route has, what each takes, and steps whose upstreams speak another form than the client.

use super::{
    CLAUDE, CLAUDE_DEAR, DEAR, FIRST, HELLO, House, KEY, PATH, SECOND, and, openai, outcome, question, setup, status,
    step, streamed, text, tries, upstream, used,
};
use crate::unified::{Answer, data};
use crate::upstream::{Act, Api, Call, Fault, Options};
use serde_json::{Value, json};

const VECTORS: &str = "text-embedding-3-small";
/// At Bedrock.
const HAIKU: &str = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
/// At 1.1 and 5.5 US dollars a million.
const HAIKU_DEAR: f64 = 0.001_65;

fn message() -> Value {
    json!({"model": "m", "max_tokens": 200, "messages": [{"role": "user", "content": "hello"}]})
}

/// What an answer in any form says, whole or streamed; that its stream ended as that form ends.
fn said(tail: &str, answer: &Answer, stream: bool) -> String {
    assert_eq!(answer.status, 200, "{tail}: {}", answer.text);
    if !stream {
        let body = answer.json();
        let text = match tail {
            "/messages" => &body["content"][0]["text"],
            "/responses" => {
                let output = body["output"].as_array().unwrap();
                &output.iter().find(|item| item["type"] == "message").unwrap()["content"][0]["text"]
            }
            "/completions" => &body["choices"][0]["text"],
            _ => &body["choices"][0]["message"]["content"],
        };
        return text.as_str().unwrap_or_else(|| panic!("{tail}: {body}")).to_owned();
    }
    let lines = data(&answer.text);
    let last = *lines.last().unwrap();
    let events = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let (end, pick): (&str, fn(&Value) -> Option<String>) = match tail {
        "/messages" => ("message_stop", |event| Some(event["delta"]["text"].as_str()?.to_owned())),
        "/responses" => ("response.completed", |event| {
            Some(event["delta"].as_str().filter(|_| event["type"] == "response.output_text.delta")?.to_owned())
        }),
        "/completions" => ("[DONE]", |event| Some(event["choices"][0]["text"].as_str()?.to_owned())),
        _ => ("[DONE]", |event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned())),
    };
    assert!(last.contains(end), "{tail}: {}", answer.text);
    events.filter_map(|event| pick(&event)).collect()
}

#[tokio::test]
async fn every_path_of_an_sdk_says_its_own_form() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(503));
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    let mut served = 0;
    for version in ["", "/v1"] {
        for (tail, body) in [
            ("/chat/completions", question()),
            ("/completions", json!({"model": "m", "prompt": "hello", "max_tokens": 200})),
            ("/responses", json!({"model": "m", "input": "hello"})),
            ("/messages", message()),
        ] {
            for stream in [false, true] {
                let body = if stream { streamed(body.clone()) } else { body.clone() };
                let answer = house.ask_at(&format!("{PATH}{version}{tail}"), &body).await;
                assert_eq!(said(tail, &answer, stream), HELLO, "{version}{tail}");
                assert_eq!(answer.header("x-tollgate-model"), SECOND);
                let event = house.event(&answer).await;
                assert_eq!(outcome(&event), (2, DEAR, 200, json!([])), "{tail} {stream}: {event}");
                served += 1;
            }
        }
    }
    house.booked(served).await;
    assert_eq!(house.upstream.stats().violations, 0);
}

#[tokio::test]
async fn c147_a_route_of_vectors() {
    let house = House::open().await;
    let first = "text-embedding-ada-002";
    house.upstream.teach(first, status(500));
    house.upstream.teach(VECTORS, Act { tokens: used(1000, 0).tokens, ..Act::default() });
    for (path, members) in [("/unsaid", json!({})), ("/said", json!({"requestFormat": "openai_embeddings"}))] {
        house.route_with(and(json!({"path": path, "steps": [openai(first), openai(VECTORS)]}), members)).await;
        for tail in ["", "/embeddings", "/v1/embeddings"] {
            let body = json!({"model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 8});
            let answer = house.ask_at(&format!("{path}{tail}"), &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            assert_eq!(answer.json()["data"][1]["embedding"].as_array().unwrap().len(), 8);
            assert_eq!(house.sent(), and(body, json!({"model": VECTORS})));
            let event = house.event(&answer).await;
            assert_eq!(outcome(&event), (2, 0.000_02, 200, json!([])), "{event}");
        }
    }
    // Said, the form is what is said, whatever the models are called.
    house
        .route_with(json!({"path": "/odd", "steps": [openai("odd-name")], "requestFormat": "openai_embeddings"}))
        .await;
    let answer = house.ask_at("/odd", &json!({"model": "m", "input": "a"})).await;
    assert_eq!(answer.json()["object"], "list", "{}", answer.text);
    assert!(house.upstream.seen().last().unwrap().target.ends_with("/v1/embeddings"));
}

#[tokio::test]
async fn c148_what_nobody_here_knows_survives() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(503));
    house.route(json!([openai(FIRST), openai(SECOND)])).await;
    let schema = json!({"type": "json_schema", "json_schema": {"name": "n", "strict": true,
        "schema": {"type": "object", "properties": {"z": {"type": "integer"}, "a": {"type": "string"}}}}});
    let body = and(
        question(),
        json!({
            "response_format": schema, "unheard_of": {"deep": [1, 2.5, null, "\u{e9}"]}, "seed": 18_446_744_073_709_551_615_u64,
            "logit_bias": {"50256": -100}, "metadata": {"a": "b"}, "user": "somebody",
        }),
    );
    // Digits that a number does not need are kept too.
    let raw = body.to_string().replace("2.5,", "2.50,");
    let request = house.gateway.http.post(house.url(PATH)).bearer_auth(KEY).header("content-type", "application/json");
    assert_eq!(text(&Answer::of(request.body(raw)).await), HELLO);
    for seen in house.upstream.seen() {
        let sent: Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(and(sent, json!({"model": "whatever"})), body);
        assert!(String::from_utf8_lossy(&seen.body).contains("2.50,"), "{:?}", seen.body);
    }
    assert_eq!(house.asked(), [FIRST, SECOND]);
}

#[tokio::test]
async fn parameters_of_a_step_are_set_over_the_clients() {
    let house = House::open().await;
    let set = json!({"temperature": 0.25, "max_tokens": 50, "stop": ["END"], "logprobs": false});
    house.upstream.teach(FIRST, status(500));
    house.route(json!([and(openai(FIRST), json!({"requestParams": set})), openai(SECOND)])).await;
    let body = and(question(), json!({"temperature": 1.5, "seed": 3}));
    assert_eq!(text(&house.ask(&body).await), HELLO);
    let sent: Vec<Value> = house.upstream.seen().iter().map(super::sent).collect();
    assert_eq!(sent[0], and(and(body.clone(), json!({"model": FIRST})), set));
    assert_eq!(sent[1], and(body, json!({"model": SECOND})), "another step has the client's own");
}

#[tokio::test]
async fn a_chat_goes_from_one_form_to_the_next() {
    let house = House::open().await;
    let order = [step("anthropic", CLAUDE), step("bedrock", HAIKU), openai(SECOND)];
    house.route(json!(order)).await;
    house.upstream.script(Act { path: Some("/model/".into()), ..used(1000, 100) });
    for body in [question(), streamed(question())] {
        // Anthropic answers.
        let answer = house.ask(&body).await;
        assert_eq!(text(&answer), HELLO);
        assert_eq!(outcome(&house.event(&answer).await), (1, CLAUDE_DEAR, 200, json!([])));
        // It is overloaded: Bedrock answers.
        house.upstream.forget();
        house.claude.teach(CLAUDE, status(529));
        house.upstream.script(Act { path: Some("/model/".into()), ..used(1000, 100) });
        let answer = house.ask(&body).await;
        assert_eq!(text(&answer), HELLO);
        assert_eq!((answer.header("x-tollgate-provider"), answer.header("x-tollgate-model")), ("bedrock", HAIKU));
        let event = house.event(&answer).await;
        assert_eq!(outcome(&event), (2, HAIKU_DEAR, 200, json!([])), "{event}");
        assert_eq!(tries(&event), [(1, "server_error", 529)], "{event}");
        // It throttles too: OpenAI answers.
        house.upstream.script(Act { path: Some("/model/".into()), ..status(429) });
        let answer = house.ask(&body).await;
        assert_eq!(text(&answer), HELLO);
        let event = house.event(&answer).await;
        assert_eq!(outcome(&event), (3, DEAR, 200, json!([])), "{event}");
        assert_eq!(tries(&event), [(1, "server_error", 529), (2, "throttled", 429)], "{event}");
        let got = house.sent();
        assert_eq!((&got["model"], &got["messages"]), (&json!(SECOND), &body["messages"]));
        house.claude.teach(CLAUDE, used(1000, 100));
    }
    assert_eq!((house.upstream.stats().violations, house.claude.stats().violations), (0, 0));
}

#[tokio::test]
async fn a_client_need_not_name_a_model() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(503));
    house.route(json!([openai(FIRST), step("anthropic", CLAUDE)])).await;
    let body = json!({"messages": [{"role": "user", "content": "hello"}]});
    for body in [body.clone(), streamed(body)] {
        let answer = house.ask(&body).await;
        assert_eq!(text(&answer), HELLO, "{}", answer.text);
        assert_eq!(outcome(&house.event(&answer).await), (2, CLAUDE_DEAR, 200, json!([])));
    }
}

#[tokio::test]
async fn steps_that_cannot_be_asked_are_told_of_when_all_have_failed() {
    let house = House::open().await;
    house.upstream.teach(FIRST, status(503));
    house.route(json!([openai(FIRST), step("anthropic", CLAUDE)])).await;
    // Nobody but the first has words for it.
    let answer = house.ask(&and(question(), json!({"n": 2}))).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    let event = house.event(&answer).await;
    assert_eq!(tries(&event), [(2, "unfit", 0)], "{event}");
}

#[tokio::test]
async fn translated_streams_that_die_before_their_output_are_answered_by_another() {
    let house = House::open().await;
    house.route(json!([step("anthropic", CLAUDE), step("bedrock", HAIKU), openai(SECOND)])).await;
    let died = |fault: Fault| Act { fault: Some(fault), ..Act::default() };
    for (first, second) in [
        (died(Fault::Close { after: Some(1) }), died(Fault::Close { after: Some(1) })),
        (died(Fault::ErrorFrame { after: 1 }), died(Fault::ErrorFrame { after: 0 })),
        (died(Fault::ErrorFrame { after: 3 }), died(Fault::Close { after: None })),
    ] {
        house.claude.teach(CLAUDE, first.clone());
        house.upstream.forget();
        // Twice: a kept connection may be closed.
        house.upstream.script(Act { path: Some("/model/".into()), times: Some(2), ..second.clone() });
        let answer = house.ask(&streamed(question())).await;
        assert_eq!(text(&answer), HELLO, "{first:?} {second:?}");
        let event = house.event(&answer).await;
        assert_eq!(outcome(&event), (3, DEAR, 200, json!([])), "{event}");
        assert_eq!(tries(&event).iter().map(|t| t.0).collect::<Vec<_>>(), [1, 2], "{event}");
    }
}

#[tokio::test]
async fn a_message_goes_from_openai_to_anthropic_and_back() {
    let house = House::open().await;
    house.route(json!([openai(SECOND), step("anthropic", CLAUDE)])).await;
    let ask = async |body: &Value| {
        // As Anthropic's clients say who they are.
        let request = house.gateway.http.post(house.url(&format!("{PATH}/v1/messages"))).header("x-api-key", KEY);
        Answer::of(request.header("anthropic-version", "2023-06-01").json(body)).await
    };
    for stream in [false, true] {
        let body = if stream { streamed(message()) } else { message() };
        house.upstream.teach(SECOND, used(1000, 100));
        let answer = ask(&body).await;
        assert_eq!(said("/messages", &answer, stream), HELLO);
        assert_eq!(outcome(&house.event(&answer).await), (1, DEAR, 200, json!([])));
        house.upstream.teach(SECOND, status(429));
        let answer = ask(&body).await;
        assert_eq!(said("/messages", &answer, stream), HELLO);
        assert_eq!(outcome(&house.event(&answer).await), (2, CLAUDE_DEAR, 200, json!([])));
    }
    assert_eq!(house.claude.stats().violations, 0);
}

#[tokio::test]
async fn tools_are_called_whoever_answers() {
    let house = House::open().await;
    let call = Call { name: "weather".into(), arguments: r#"{"city":"Oslo"}"#.into() };
    house.claude.teach(CLAUDE, Act { calls: vec![call.clone()], ..Act::default() });
    house.upstream.teach(FIRST, status(500));
    house.route(json!([openai(FIRST), step("anthropic", CLAUDE)])).await;
    let tools = json!([{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]);
    let answer = house.ask(&and(question(), json!({"tools": tools}))).await;
    let made = answer.json()["choices"][0].clone();
    assert_eq!(made["finish_reason"], "tool_calls", "{made}");
    let arguments = made["message"]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({"city": "Oslo"}));
}

#[tokio::test]
async fn a_custom_provider_is_a_step() {
    let house = House::open().await;
    let acme = upstream(Api::OpenAi).await;
    let route = json!({
        "path": "/v1/chat/completions", "target_url": format!("{}/v1/chat/completions", acme.url()),
        "model_location": "model", "request_prompt_location": "messages.#.content",
        "response_completion_location": "choices.#.message.content", "stream_location": "stream",
        "stream_end_word": "[DONE]", "stream_response_completion_location": "choices.#.delta.content",
    });
    let provider = json!({"provider": "acme", "authentication_param": "token", "route_configs": [route]});
    assert_eq!(house.gateway.admin("POST", "/api/custom/providers", Some(provider)).await.0, 200);
    let costs = json!({"promptCostPerModel": {"acme-1": 1}, "completionCostPerModel": {"acme-1": 2}});
    let setting = json!({"provider": "acme", "setting": {"token": "sk-upstream"}, "costMap": costs});
    let setting = house.gateway.setting(setting).await;
    let params = json!({"params": {"path": "/v1/chat/completions", "settingId": setting}});
    let step = and(step("acme", "acme-1"), params);
    house.upstream.teach(FIRST, status(500));
    house.route(json!([openai(FIRST), step])).await;
    for body in [question(), streamed(question())] {
        let answer = house.ask(&body).await;
        assert_eq!(text(&answer), HELLO);
        let sent = super::sent(acme.seen().last().unwrap());
        assert_eq!((&sent["model"], &sent["messages"]), (&json!("acme-1"), &body["messages"]));
        let event = house.event(&answer).await;
        assert_eq!(
            (&event["routeStep"], &event["provider"], &event["model"]),
            (&json!(2), &json!("acme"), &json!("acme-1"))
        );
        assert!(event["cost_in_usd"].as_f64().unwrap() > 0.0, "{event}");
    }
    // And when it fails itself.
    acme.teach("acme-1", status(503));
    house.route_with(json!({"path": "/acme-first", "steps": [step, openai(SECOND)]})).await;
    let answer = house.ask_at("/acme-first", &question()).await;
    assert_eq!((text(&answer), answer.header("x-tollgate-model")), (HELLO.to_owned(), SECOND));
}

#[tokio::test]
async fn a_server_of_the_operators_own_is_a_step() {
    let house = House::open().await;
    let vllm = upstream(Api::Vllm).await;
    vllm.teach("qwen3-32b", used(30, 6));
    let costs = json!({"promptCostPerModel": {"qwen3-32b": 1.0}, "completionCostPerModel": {"qwen3-32b": 2.0}});
    let setting =
        json!({"provider": "vllm", "setting": {"url": vllm.url(), "apikey": "sk-upstream"}, "costMap": costs});
    let setting = house.gateway.setting(setting).await;
    let own = and(step("vllm", "qwen3-32b"), json!({"params": {"settingId": setting}}));
    house.route(json!([own, openai(SECOND)])).await;
    for body in [question(), streamed(question())] {
        let answer = house.ask(&body).await;
        assert_eq!((text(&answer), answer.header("x-tollgate-provider")), (HELLO.to_owned(), "vllm"));
        assert_eq!(outcome(&house.event(&answer).await), (1, 0.042, 200, json!([])));
    }
    vllm.teach("qwen3-32b", Act { fault: Some(Fault::Close { after: Some(1) }), ..Act::default() });
    let answer = house.ask(&streamed(question())).await;
    assert_eq!(outcome(&house.event(&answer).await), (2, DEAR, 200, json!([])), "{}", answer.text);
}

#[tokio::test]
async fn a_deployment_is_a_step() {
    let azure = upstream(Api::Azure).await;
    let house = House::with(setup().env("TOLLGATE_PROVIDERS_AZURE_BASE_URL", &azure.url()), Options::default()).await;
    azure.teach("my-dep", used(1000, 100));
    let setting = json!({"provider": "azure", "setting": {"resourceName": "my-resource", "apikey": "sk-upstream"}});
    let setting = house.gateway.setting(setting).await;
    let params = |deployment: &str| json!({"params": {"deploymentId": deployment, "apiVersion": "2024-10-21", "settingId": setting}});
    house.upstream.teach(FIRST, status(500));
    house.route(json!([openai(FIRST), and(step("azure", SECOND), params("my-dep"))])).await;
    for body in [question(), streamed(question())] {
        let answer = house.ask(&body).await;
        assert_eq!((text(&answer), answer.header("x-tollgate-provider")), (HELLO.to_owned(), "azure"));
        let seen = azure.seen().pop().unwrap();
        assert_eq!(seen.target, "/openai/deployments/my-dep/chat/completions?api-version=2024-10-21");
        assert_eq!((seen.header("api-key"), seen.header("authorization")), (Some("sk-upstream"), None));
        assert_eq!(outcome(&house.event(&answer).await), (2, DEAR, 200, json!([])));
    }
    // The answer names the model that is deployed, as Azure's answers do.
    let answers_as = Some(VECTORS.to_owned());
    azure.teach("emb", Act { tokens: used(1000, 0).tokens, answers_as, ..Act::default() });
    let steps = json!([and(step("azure", VECTORS), params("emb"))]);
    house.route_with(json!({"path": "/vectors", "steps": steps})).await;
    let answer = house.ask_at("/vectors", &json!({"model": "m", "input": "a"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let target = azure.seen().pop().unwrap().target;
    assert_eq!(target, "/openai/deployments/emb/embeddings?api-version=2024-10-21");
    assert_eq!(outcome(&house.event(&answer).await), (1, 0.000_022, 200, json!([])));
    // A deployment whose first chunk only tells of its filter.
    azure.teach("my-dep", Act { fault: Some(Fault::Close { after: Some(1) }), ..Act::default() });
    house
        .route_with(
            json!({"path": "/azure-first", "steps": [and(step("azure", SECOND), params("my-dep")), openai(SECOND)]}),
        )
        .await;
    let answer = house.ask_at("/azure-first", &streamed(question())).await;
    assert_eq!((text(&answer), answer.header("x-tollgate-provider")), (HELLO.to_owned(), "openai"));
}

#[tokio::test]
async fn what_a_step_has_no_words_for_is_asked_of_the_next() {
    let house = House::open().await;
    house.route(json!([step("anthropic", CLAUDE), openai(SECOND)])).await;
    // Several answers at once are nothing that Anthropic's API has; either it is left out or said aloud.
    let answer = house.ask(&and(question(), json!({"n": 2}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let dropped = answer.header("x-tollgate-dropped-params").contains('n');
    assert!(dropped || answer.json()["choices"].as_array().unwrap().len() == 2, "{answer:?}");
}
