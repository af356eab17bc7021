use super::*;
use proptest::prelude::*;

// Messages that another implementation reads and writes; names as in its list of vectors.
const ES1: &str = "000000100000000005c248eb7d98c8ff";
const ES2: &str = "0000006c00000051258c2447017400016601016202f9017303fed401690400011170016c05fffffffed5fa0e000262790600\
    02010202737407000368c3a902747308000001a1fdfa460001750900112233445566778899aabbccddeeff7b226f6b223a74\
    7275657d6c15facb";
const ES3: &str = "000000db0000004b7a0909390b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d7479706507001061\
    70706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b226279746573223a2265794a\
    306558426c496a6f695932397564475675644639696247396a6131396b5a57783059534973496d6c755a475634496a6f774c\
    434a6b5a5778305953493665794a306558426c496a6f69644756346446396b5a57783059534973496e526c654851694f694a\
    495a57787362794a3966513d3d227d335563af";
const ES4: &str = "000001410000004b2ae3e52d0b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d7479706507001061\
    70706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b226279746573223a2265794a\
    306558426c496a6f696257567a6332466e5a56397a644739774969776959573168656d39754c574a6c5a484a765932737461\
    57353262324e6864476c76626b316c64484a7059334d694f6e736961573577645852556232746c626b4e7664573530496a6f\
    784d6977696233563063485630564739725a57354462335675644349364e5377696157353262324e6864476c76626b786864\
    47567559336b694f6a51794d4377695a6d6c79633352436558526c544746305a57356a655349364d6a45776658303d222c22\
    70223a226162636465666768696a6b227d18d44799";
const ES5: &str = "0000009f00000057c37babff0b3a6576656e742d74797065070011636f6e74656e74426c6f636b44656c74610d3a636f6e74\
    656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b\
    22636f6e74656e74426c6f636b496e646578223a302c2264656c7461223a7b2274657874223a224869227d2c2270223a2261\
    626364227df2ace5ff";
const ES6: &str = "000000f50000004e74926cd30b3a6576656e742d747970650700086d657461646174610d3a636f6e74656e742d7479706507\
    00106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b226d65747269637322\
    3a7b226c6174656e63794d73223a3535317d2c2270223a22616263222c227573616765223a7b22696e707574546f6b656e73\
    223a31322c226f7574707574546f6b656e73223a352c22746f74616c546f6b656e73223a31372c2263616368655265616449\
    6e707574546f6b656e73223a302c2263616368655772697465496e707574546f6b656e73223a307d7d3784f5f8";
const ES7: &str = "000000b0000000614f5086b30f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e\
    0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009\
    657863657074696f6e7b226d657373616765223a22546f6f206d616e7920746f6b656e732c20706c65617365207761697420\
    6265666f726520747279696e6720616761696e2e227df70ae57f";
const ES8: &str = "0000005a0000004a8188a08d0b3a6572726f722d636f646507000f496e7465726e616c4661696c7572650e3a6572726f722d\
    6d657373616765070004626f6f6d0d3a6d6573736167652d747970650700056572726f72f8d6999d";

fn bytes(hex_text: &str) -> Bytes {
    hex::decode(hex_text).expect("hex").into()
}

fn read(body: &[u8], size: usize) -> (Vec<Message>, Result<(), Fault>, bool) {
    let (mut framer, mut found) = (Framer::default(), Vec::new());
    let mut result = Ok(());
    for piece in body.chunks(size) {
        result = framer.push(&Bytes::copy_from_slice(piece), |message| found.push(message));
    }
    (found, result, framer.is_unfinished())
}

fn one(hex_text: &str) -> Message {
    let (mut found, result, unfinished) = read(&bytes(hex_text), usize::MAX);
    assert_eq!((found.len(), result, unfinished), (1, Ok(()), false));
    found.remove(0)
}

#[test]
fn every_type_of_header_is_read_and_written() {
    let uuid = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
    let headers = [
        ("t", Value::Bool(true)),
        ("f", Value::Bool(false)),
        ("b", Value::I8(-7)),
        ("s", Value::I16(-300)),
        ("i", Value::I32(70_000)),
        ("l", Value::I64(-5_000_000_000)),
        ("by", Value::Bytes(&[1, 2])),
        ("st", Value::Text("hé")),
        ("ts", Value::Time(1_795_262_400_000)),
        ("u", Value::Uuid(uuid)),
    ];
    let message = one(ES2);
    assert_eq!(message.headers().collect::<Option<Vec<_>>>().expect("sound"), headers);
    assert_eq!(message.payload(), br#"{"ok":true}"#);
    assert_eq!(encode(&headers, br#"{"ok":true}"#), Some(bytes(ES2)));
    assert_eq!(encode(&[], b""), Some(bytes(ES1)));
    assert_eq!((one(ES1).headers().count(), one(ES1).payload()), (0, &b""[..]));
}

#[test]
fn messages_of_model_streams_are_read() {
    for (hex_text, header, name, payload) in [
        (ES3, ":event-type", "chunk", r#"{"bytes":"eyJ0eXBl"#),
        (ES4, ":event-type", "chunk", r#"{"bytes":"eyJ0eXBlIjoibWVzc2FnZV9zdG9w"#),
        (ES5, ":event-type", "contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"Hi"},"p":"abcd"}"#),
        (ES6, ":event-type", "metadata", r#"{"metrics":{"latencyMs":551},"p":"abc","usage":{"inputTokens":12"#),
        (ES7, ":exception-type", "throttlingException", r#"{"message":"Too many tokens"#),
        (ES8, ":error-code", "InternalFailure", ""),
    ] {
        let message = one(hex_text);
        assert_eq!(message.text(header), Some(name));
        assert!(message.payload().starts_with(payload.as_bytes()), "{name}");
        assert_eq!(message.into_raw(), bytes(hex_text));
    }
    let written = [(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")];
    let written = written.map(|(name, text)| (name, Value::Text(text)));
    assert_eq!(encode(&written, one(ES3).payload()), Some(bytes(ES3)));
    assert_eq!((one(ES8).text(":error-message"), one(ES8).text("absent")), (Some("boom"), None));
}

#[test]
fn any_chunking_finds_the_same_messages() {
    let body = [bytes(ES3), bytes(ES4), bytes(ES7)].concat();
    let whole = read(&body, usize::MAX);
    assert_eq!((whole.0.len(), whole.1, whole.2), (3, Ok(()), false));
    for size in [1, 7, 11, 12, 13, 100, 1024] {
        assert_eq!(read(&body, size), whole, "{size}");
    }
}

#[test]
fn a_message_in_one_piece_is_not_copied() {
    let piece = bytes(ES3);
    let mut found = Vec::new();
    Framer::default().push(&piece, |message| found.push(message.into_raw())).expect("sound");
    assert_eq!(found[0].as_ptr(), piece.as_ptr());
}

#[test]
fn broken_messages_end_the_stream() {
    let flipped = |at: usize| {
        let mut broken = bytes(ES3).to_vec();
        let at = if at == usize::MAX { broken.len() - 1 } else { at };
        broken[at] ^= 1;
        broken
    };
    let with_lengths = |total: u32, headers: u32| {
        let mut broken = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        let sum = crc32fast::hash(&broken);
        broken.extend(sum.to_be_bytes());
        broken
    };
    let no_such_type = {
        let mut broken = bytes(ES5).to_vec();
        broken[12 + 1 + 11] = 10;
        let end = broken.len() - 4;
        let sum = crc32fast::hash(&broken[..end]);
        broken[end..].copy_from_slice(&sum.to_be_bytes());
        broken
    };
    for (broken, fault) in [
        (flipped(usize::MAX), Fault::Checksum),
        (flipped(150), Fault::Checksum),
        (flipped(8), Fault::PreludeChecksum),
        (flipped(0), Fault::PreludeChecksum),
        (with_lengths(15, 0), Fault::Length),
        (with_lengths(100, 85), Fault::Length),
        (with_lengths(u32::MAX, 0), Fault::Length),
        (with_lengths(300_000, 200_000), Fault::Length),
        (no_such_type, Fault::Headers),
    ] {
        for size in [1, 5, usize::MAX] {
            let body = [&bytes(ES4)[..], &broken, &bytes(ES5)].concat();
            let (found, result, unfinished) = read(&body, size.min(body.len()));
            assert_eq!((found.len(), result, unfinished), (1, Err(fault), true), "{fault:?} by {size}");
        }
    }
}

#[test]
fn a_message_that_is_not_all_there_is_waited_for() {
    for length in 1..bytes(ES3).len() {
        let (found, result, unfinished) = read(&bytes(ES3)[..length], 9);
        assert_eq!((found.len(), result, unfinished), (0, Ok(()), true), "{length}");
    }
}

#[test]
fn what_is_too_long_is_not_written() {
    assert_eq!(encode(&[(&"n".repeat(256), Value::Bool(true))], b""), None);
    assert_eq!(encode(&[("n", Value::Text(&"v".repeat(65_536)))], b""), None);
    assert_eq!(encode(&[], &vec![0; MAX_PAYLOAD + 1]), None);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(noise in prop::collection::vec(any::<u8>(), 0..300), size in 1..50_usize) {
        let _ = read(&noise, size);
        let after = [&bytes(ES5)[..], &noise].concat();
        prop_assert!(!read(&after, size).0.is_empty());
    }

    #[test]
    fn what_is_written_is_read(
        headers in prop::collection::vec(("[a-z:]{1,20}", "\\PC{0,20}"), 0..5),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        size in 1..60_usize,
    ) {
        let given: Vec<_> = headers.iter().map(|(name, text)| (name.as_str(), Value::Text(text))).collect();
        let raw = encode(&given, &payload).expect("short");
        let (found, result, unfinished) = read(&raw, size);
        prop_assert_eq!((found.len(), result, unfinished), (1, Ok(()), false));
        prop_assert_eq!(found[0].headers().collect::<Option<Vec<_>>>().expect("sound"), given);
        prop_assert_eq!(found[0].payload(), &payload[..]);
    }
}
