//! AWS Signature Version 4 over a request whose every byte is known. The path is encoded once more than it is sent,
//! as every service but one wants it: whatever stands in the wire path decides.

use crate::domain::Secret;
use crate::providers::{IncompleteSetting, Signer, Unsigned};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use std::time::{Duration, SystemTime};

/// The service in the scope of every signature, clients' own included.
pub(super) const SERVICE: &str = "bedrock";

#[derive(Clone, Debug)]
pub(super) struct SigV4 {
    pub(super) access_key_id: Box<str>,
    pub(super) secret: Secret,
    pub(super) session_token: Option<Secret>,
    pub(super) region: Box<str>,
}

impl Signer for SigV4 {
    fn sign(&self, request: &Unsigned<'_>) -> Result<Vec<(HeaderName, HeaderValue)>, IncompleteSetting> {
        const UNUSABLE: IncompleteSetting = IncompleteSetting { entry: "awsSecretAccessKey" };
        let token = self.session_token.as_ref().map(|token| token.expose().to_owned());
        let credentials = Credentials::new(&*self.access_key_id, self.secret.expose(), token, None, "tollgate");
        let identity = credentials.into();
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(request.at.0).unwrap_or(0));
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(at)
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| UNUSABLE)?
            .into();
        // The scheme is not signed; the host is, from the header that is sent.
        let url = format!("https://{}{}", request.host, request.target);
        let signed = request.headers.iter().filter(|(name, _)| is_signed(name));
        let headers = signed.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let headers = headers.chain([("host", request.host)]);
        let signable = SignableRequest::new(request.method.as_str(), url, headers, SignableBody::Bytes(request.body))
            .map_err(|_| UNUSABLE)?;
        let (instructions, _) = sign(signable, &params).map_err(|_| UNUSABLE)?.into_parts();
        let (made, _) = instructions.into_parts();
        made.iter()
            .map(|header| {
                let mut value = HeaderValue::from_str(header.value()).map_err(|_| UNUSABLE)?;
                value.set_sensitive(header.sensitive() || header.name() != "x-amz-date");
                Ok((HeaderName::from_static(header.name()), value))
            })
            .collect()
    }
}

/// What no proxy in between changes and the service looks at.
fn is_signed(name: &HeaderName) -> bool {
    *name == CONTENT_TYPE || *name == ACCEPT || name.as_str().starts_with("x-amzn-bedrock-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMillis;
    use http::{HeaderMap, Method};

    /// 2026-11-21T12:00:00Z
    const AT: UnixMillis = UnixMillis::from_seconds(1_795_262_400);

    struct Case {
        method: Method,
        region: &'static str,
        token: Option<&'static str>,
        host: &'static str,
        target: &'static str,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
    }

    const POST: Case = Case {
        method: Method::POST,
        region: "us-east-1",
        token: None,
        host: "bedrock-runtime.us-east-1.amazonaws.com",
        target: "",
        headers: &[("content-type", "application/json")],
        body: "",
    };
    const S1: Case = Case {
        target: "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
        headers: &[("content-type", "application/json"), ("accept", "application/json")],
        body: r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#,
        ..POST
    };

    fn signed(case: &Case) -> (String, Vec<(HeaderName, HeaderValue)>) {
        let mut headers = HeaderMap::new();
        // What proxies change must not matter.
        let noise = [("user-agent", "x"), ("x-amzn-trace-id", "y"), ("content-length", "1"), ("host", "elsewhere")];
        for (name, value) in case.headers.iter().chain(&noise) {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        let signer = SigV4 {
            access_key_id: "AKIDEXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: case.token.map(Secret::new),
            region: case.region.into(),
        };
        let made = signer
            .sign(&Unsigned {
                method: &case.method,
                host: case.host,
                target: case.target,
                headers: &headers,
                body: case.body.as_bytes(),
                at: AT,
            })
            .expect("signed");
        let authorization = made.iter().find(|(name, _)| name == "authorization").expect("authorization");
        (authorization.1.to_str().expect("text").to_owned(), made)
    }

    fn check(name: &str, case: &Case, names: &str, signature: &str) {
        let scope = format!("20261121/{}/bedrock/aws4_request", case.region);
        let expected =
            format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature={signature}");
        assert_eq!(signed(case).0, expected, "{name}");
    }

    #[test]
    fn signatures_are_those_of_another_implementation() {
        let plain = "content-type;host;x-amz-date";
        check(
            "S1",
            &S1,
            "accept;content-type;host;x-amz-date",
            "e00f05911cb6b6e0aabbc87392aded350bb7ba2c585bb67f62ce839ffa27c92d",
        );
        check(
            "S2",
            &Case {
                target: "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc123def456/converse",
                body: r#"{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}"#,
                ..POST
            },
            plain,
            "4c75a960f496d25d6dd8cb1c00fb0768293df4649b952bc7e783fdd3aaacf292",
        );
        check(
            "S3",
            &Case {
                region: "eu-central-1",
                token: Some("FwoGZXIvYXdzEXAMPLETOKEN//"),
                host: "bedrock-runtime.eu-central-1.amazonaws.com",
                target: "/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse-stream",
                body: r#"{"inferenceConfig":{"maxTokens":32},"messages":[{"content":[{"text":"été"}],"role":"user"}]}"#,
                ..POST
            },
            "content-type;host;x-amz-date;x-amz-security-token",
            "90c919f2ae94acf29a2390d54f507dcad0cdad9834be99ab0e76e4eab0415b8a",
        );
        check(
            "S4",
            &Case {
                region: "us-west-2",
                host: "bedrock-runtime.us-west-2.amazonaws.com",
                target: "/model/us.amazon.nova-lite-v1%3A0/invoke-with-response-stream",
                headers: &[("content-type", "application/json"), ("x-amzn-bedrock-accept", "application/json")],
                body: r#"{"messages":[{"role":"user","content":[{"text":"ping"}]}]}"#,
                ..POST
            },
            "content-type;host;x-amz-date;x-amzn-bedrock-accept",
            "e4ce74f2dc73543e4d0b0e71ae975cd8abefd30aa0f0e0f4596a4fda297324ff",
        );
        check(
            "S5",
            &Case {
                method: Method::GET,
                target: "/async-invoke?maxResults=10&statusEquals=Completed",
                headers: &[],
                ..POST
            },
            "host;x-amz-date",
            "b933d6765ef1c7afe071aaff14152ea85a69c60c6af12aedff63238d565ac575",
        );
        check(
            "S6",
            &Case {
                host: "bedrock-agent-runtime.us-east-1.amazonaws.com",
                target: "/retrieveAndGenerate",
                body: r#"{"input":{"text":"What is the refund policy?"},"retrieveAndGenerateConfiguration":{"type":"KNOWLEDGE_BASE","knowledgeBaseConfiguration":{"knowledgeBaseId":"KB12345678","modelArn":"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"}}}"#,
                ..POST
            },
            plain,
            "a8766a9a154830ec8677ffc0c0e3603c1a385401257c5212b8225cf994767ab8",
        );
        check(
            "S7: the port is signed",
            &Case {
                host: "127.0.0.1:8080",
                target: "/model/meta.llama3-8b-instruct-v1%3A0/invoke",
                body: r#"{"prompt":"Hi"}"#,
                ..POST
            },
            plain,
            "2796236c6b12da7df0817037acfe810272f3767fa7a8af7785fc2b44ec7c6509",
        );
    }

    #[test]
    fn the_bytes_on_the_wire_decide() {
        check(
            "a raw colon is encoded once only",
            &Case { target: "/model/anthropic.claude-sonnet-4-5-20250929-v1:0/invoke", ..S1 },
            "accept;content-type;host;x-amz-date",
            "05a29dd164cacfd3e09334b8ae51b0e53d1586427fb970f8dfa572b844a3caff",
        );
    }

    #[test]
    fn nothing_secret_is_shown() {
        let (authorization, made) = signed(&Case { token: Some("tokentoken"), ..S1 });
        assert!(!authorization.contains("wJalr"));
        let shown = format!("{made:?}");
        assert!(!shown.contains("tokentoken") && !shown.contains("Signature"), "{shown}");
        let signer = SigV4 {
            access_key_id: "a".into(),
            secret: Secret::new("hidden"),
            session_token: Some(Secret::new("hidden")),
            region: "r".into(),
        };
        assert!(!format!("{signer:?}").contains("hidden"));
    }
}
