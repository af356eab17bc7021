//! How the unified API and the management API say no: in an envelope whose `data` is what clients of the management API
//! show, and whose `error` is what SDKs of chat APIs read.

use serde::Serialize;

/// One refusal; `text` is for both kinds of client.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    pub text: &'a str,
    /// `invalid_request_error`
    pub kind: &'a str,
    /// `missing_api_key`
    pub code: &'a str,
    /// The member at fault, as a path.
    pub param: Option<&'a str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    success: bool,
    data: &'a str,
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    r#type: &'a str,
    code: &'a str,
    param: Option<&'a str>,
}

impl Refusal<'_> {
    /// The body of the answer, JSON.
    pub fn body(&self) -> Vec<u8> {
        let Self { text, kind, code, param } = *self;
        let error = ErrorObject { message: text, r#type: kind, code, param };
        // Texts alone: nothing in it can fail.
        serde_json::to_vec(&Envelope { success: false, data: text, error }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn both_kinds_of_client_find_the_text() {
        let refusal =
            Refusal { text: "No \"key\".", kind: "authentication_error", code: "missing_api_key", param: None };
        let wanted = concat!(
            r#"{"success":false,"data":"No \"key\".","error":{"message":"No \"key\".","#,
            r#""type":"authentication_error","code":"missing_api_key","param":null}}"#,
        );
        assert_eq!(refusal.body(), wanted.as_bytes());
    }
}
