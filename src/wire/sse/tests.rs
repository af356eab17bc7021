use super::*;
use proptest::prelude::*;

/// Name and data of an event.
type Seen = (Option<String>, Option<String>);

/// Name, data and raw bytes of each event of a stream that arrives in pieces cut at `cuts`.
fn events(stream: &[u8], cuts: &[usize], limit: usize) -> (Vec<Seen>, Vec<u8>, bool) {
    let mut framer = Framer::new(limit);
    let mut seen = Vec::new();
    let mut bytes = Vec::new();
    let mut take = |frame: Frame| match frame {
        Frame::Event(event) => {
            let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            let data = event.data_bytes().map(|d| text(&d));
            if data.is_some() || event.name().is_some() {
                seen.push((event.name().map(text), data));
            }
            bytes.extend_from_slice(event.raw());
        }
        Frame::Opaque(raw) => bytes.extend_from_slice(&raw),
    };
    let mut from = 0;
    for to in cuts.iter().copied().chain([stream.len()]) {
        let to = to.clamp(from, stream.len());
        framer.push(&Bytes::copy_from_slice(&stream[from..to]), &mut take);
        from = to;
    }
    framer.finish().map(&mut take);
    (seen, bytes, framer.oversized)
}

fn whole(stream: &str) -> Vec<Seen> {
    events(stream.as_bytes(), &[], EVENT_LIMIT).0
}

fn data(text: &str) -> Seen {
    (None, Some(text.to_owned()))
}

#[test]
fn every_line_end_is_one() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = "data: a\ndata:b\n\n: note\n\nevent: e\ndata:  c\nid\n\n\ndata: [DONE]\n\n".replace('\n', end);
        let expected = [data("a\nb"), (Some("e".into()), Some(" c".into())), data("[DONE]")];
        assert_eq!(whole(&stream), expected, "{end:?}");
    }
}

#[test]
fn fields_are_read_as_the_standard_says() {
    assert_eq!(whole("\u{feff}data: x\n\n"), [data("x")], "one byte order mark at the start is not text");
    assert_eq!(whole("data: x\n\n\u{feff}data: y\n\n"), [data("x")], "later ones are");
    assert_eq!(whole("data\n\n"), [data("")]);
    assert_eq!(whole("database: x\nother: y\n\n"), []);
    assert_eq!(whole("event: a\nevent: b\n\n"), [(Some("b".into()), None)]);
    assert_eq!(whole("data: no blank line"), [data("no blank line")]);
    assert_eq!(whole(""), []);
}

#[test]
fn a_stream_of_bare_cr_is_not_held_back() {
    let mut framer = Framer::default();
    let mut count = 0;
    framer.push(&Bytes::from_static(b"data: a\r\r"), |_| count += 1);
    assert_eq!(count, 1);
    framer.push(&Bytes::from_static(b"data: b\r\r"), |_| count += 1);
    assert_eq!(count, 2);
}

#[test]
fn an_event_in_one_piece_is_a_slice_of_it() {
    let piece = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut framer = Framer::default();
    framer.push(&piece, |frame| match frame {
        Frame::Event(event) => assert!(piece.as_ptr_range().contains(&event.raw().as_ptr())),
        Frame::Opaque(_) => panic!("small"),
    });
}

#[test]
fn over_the_limit_bytes_pass_and_the_next_event_is_seen() {
    let stream = format!("data: a\n\ndata: {}\n\ndata: b\n\n", "x".repeat(100));
    for cuts in [vec![], vec![30, 60, 90, 120]] {
        let (seen, bytes, oversized) = events(stream.as_bytes(), &cuts, 64);
        assert_eq!(seen, [data("a"), data("b")]);
        assert_eq!(bytes, stream.as_bytes());
        assert!(oversized);
    }
}

#[test]
fn data_is_replaced_and_the_rest_kept() {
    let mut replaced = Vec::new();
    let stream = ": c\r\nevent: e\r\ndata: old\r\ndata: more\r\nid: 7\r\n\r\n";
    Framer::default().push(&Bytes::from_static(stream.as_bytes()), |frame| {
        if let Frame::Event(event) = frame {
            replaced.push(event.with_data(b"new\nlines"));
        }
    });
    assert_eq!(replaced, [&b": c\r\nevent: e\r\ndata: new\r\ndata: lines\r\nid: 7\r\n\r\n"[..]]);
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_events(
        lines in prop::collection::vec("(data|event|id|)(:|: |)[a-z: é]{0,6}|", 0..20),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        mut cuts in prop::collection::vec(0..200usize, 0..12),
        bom in any::<bool>(),
    ) {
        let stream = format!("{}{}{end}", if bom { "\u{feff}" } else { "" }, lines.join(end));
        cuts.sort_unstable();
        let (expected, bytes, _) = events(stream.as_bytes(), &[], EVENT_LIMIT);
        prop_assert_eq!(&bytes, stream.as_bytes());
        let (seen, bytes, _) = events(stream.as_bytes(), &cuts, EVENT_LIMIT);
        prop_assert_eq!(&bytes, stream.as_bytes());
        prop_assert_eq!(&seen, &expected);
        let every: Vec<_> = (0..stream.len()).collect();
        prop_assert_eq!(events(stream.as_bytes(), &every, EVENT_LIMIT).0, expected);
    }

    #[test]
    fn any_bytes_come_out_as_they_went_in(
        stream in prop::collection::vec(prop::sample::select(b"\r\n:data \xef\xbb\xbf\xffx".to_vec()), 0..200),
        mut cuts in prop::collection::vec(0..200usize, 0..12),
        limit in 1..40usize,
    ) {
        cuts.sort_unstable();
        prop_assert_eq!(events(&stream, &cuts, limit).1, stream);
    }
}
