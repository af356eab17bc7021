//! Files of known length, made by hand: headers as their formats describe them, zeros for sound.

#![expect(clippy::cast_possible_truncation, reason = "lengths of files that are made here")]

use super::*;
use proptest::prelude::*;

fn wav(seconds_of_silence: usize, declared: Option<u32>) -> Vec<u8> {
    let data = vec![0; 32_000 * seconds_of_silence];
    let declared = declared.unwrap_or(data.len() as u32);
    let mut file = b"RIFF\0\0\0\0WAVELIST\x03\0\0\0abc\0fmt \x10\0\0\0\x01\0\x01\0".to_vec();
    file.extend_from_slice(&16_000u32.to_le_bytes());
    file.extend_from_slice(&32_000u32.to_le_bytes());
    file.extend_from_slice(b"\x02\0\x10\0data");
    file.extend_from_slice(&declared.to_le_bytes());
    file.extend_from_slice(&data);
    file
}

/// Frames of 44.1 kHz, 128 kbit/s, stereo: 417 bytes, 1152 samples.
fn mp3(frames: usize, table: bool) -> Vec<u8> {
    let frame = |inside: &[u8]| {
        let mut frame = vec![0; 417];
        frame[..4].copy_from_slice(b"\xff\xfb\x90\x00");
        frame[36..36 + inside.len()].copy_from_slice(inside);
        frame
    };
    let mut file = b"ID3\x04\0\0\0\0\x02\x01".to_vec();
    // Two times 128 and one.
    file.resize(10 + 257, 0xff);
    if table {
        file.extend(frame(b"Info"));
    }
    (0..frames).for_each(|_| file.extend(frame(b"")));
    file.extend_from_slice(b"TAG");
    file.resize(file.len() + 125, 0);
    file
}

/// Frames of 24 kHz with 100 bytes each.
fn aac(frames: usize) -> Vec<u8> {
    let mut frame = [0u8; 100];
    frame[..7].copy_from_slice(&[0xff, 0xf1, 6 << 2, 0x80, 100 >> 3, (100 & 7) << 5, 0]);
    frame.repeat(frames)
}

fn flac(samples: u64) -> Vec<u8> {
    let mut file = b"fLaC\0\0\0\x22".to_vec();
    file.extend_from_slice(&[0; 10]);
    file.extend_from_slice(&(44_100u64 << 44 | 0x1f << 36 | samples).to_be_bytes());
    file.extend_from_slice(&[7; 500]);
    file
}

fn page(position: u64, content: &[u8]) -> Vec<u8> {
    let mut page = b"OggS\0\0".to_vec();
    page.extend_from_slice(&position.to_le_bytes());
    page.extend_from_slice(b"serl\0\0\0\0crcc");
    let lengths: Vec<u8> = content.chunks(255).map(|c| c.len() as u8).collect();
    page.push(lengths.len() as u8);
    page.extend(lengths);
    page.extend_from_slice(content);
    page
}

fn opus() -> Vec<u8> {
    let mut file = page(0, b"OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0");
    file.extend(page(0, b"OpusTags"));
    file.extend(page(u64::MAX, &[1; 700]));
    file.extend(page(48_000 * 3 + 312, &[1; 5000]));
    file
}

fn vorbis() -> Vec<u8> {
    let mut file = page(0, b"\x01vorbis\0\0\0\0\x01\x22\x56\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xb8\x01");
    file.extend(page(22_050 * 5 / 2, &[1; 100]));
    file
}

fn bx(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32 + 8).to_be_bytes()[..], kind, content].concat()
}

/// The film's head after its data, as phones record it.
fn mp4(version: u8, timescale: u32, duration: u64) -> Vec<u8> {
    let mut mvhd = vec![version, 0, 0, 0];
    if version == 1 {
        mvhd.extend_from_slice(&[0; 16]);
        mvhd.extend_from_slice(&timescale.to_be_bytes());
        mvhd.extend_from_slice(&duration.to_be_bytes());
    } else {
        mvhd.extend_from_slice(&[0; 8]);
        mvhd.extend_from_slice(&timescale.to_be_bytes());
        mvhd.extend_from_slice(&(duration as u32).to_be_bytes());
    }
    mvhd.extend_from_slice(&[0; 80]);
    [
        bx(b"ftyp", b"M4A \0\0\0\0isom"),
        bx(b"mdat", &[0; 3000]),
        bx(b"moov", &[bx(b"free", &[0; 32]), bx(b"mvhd", &mvhd)].concat()),
    ]
    .concat()
}

fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    [id, &[0x40 | (content.len() >> 8) as u8, content.len() as u8], content].concat()
}

fn webm(duration: Option<f32>) -> Vec<u8> {
    let mut info = element(b"\x2a\xd7\xb1", &[0x0f, 0x42, 0x40]);
    info.extend(duration.map(|d| element(b"\x44\x89", &d.to_be_bytes())).unwrap_or_default());
    info.extend(element(b"\x4d\x80", b"muxer"));
    let cluster = |time: u16, offset: i16| {
        let mut inside = element(b"\xe7", &time.to_be_bytes());
        let block = [&b"\x81"[..], &offset.to_be_bytes(), &[0; 300]].concat();
        inside.extend(element(b"\xa3", &block));
        inside.extend(element(b"\xa0", &element(b"\xa1", &block)));
        // Unknown size, as a live recorder writes it.
        [&b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff"[..], &inside].concat()
    };
    [
        element(b"\x1a\x45\xdf\xa3", b"\x42\x86\x81\x01\x42\x82\x84webm"),
        b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff".to_vec(),
        element(b"\x15\x49\xa9\x66", &info),
        cluster(0, 10),
        cluster(4000, 500),
        cluster(5000, -20),
    ]
    .concat()
}

fn length_in(file: &[u8], pieces: usize) -> Option<u64> {
    let mut recording = Recording::default();
    for piece in file.chunks(pieces.max(1)) {
        recording.push(piece);
        assert!(recording.window.len() <= WINDOW);
    }
    assert_eq!(recording.bytes(), file.len() as u64);
    recording.millis()
}

fn all() -> Vec<(&'static str, Vec<u8>, Option<u64>)> {
    vec![
        ("wav", wav(3, None), Some(3000)),
        ("wav, length unknown", wav(3, Some(u32::MAX)), Some(3000)),
        ("wav, length left out", wav(3, Some(0)), Some(3000)),
        ("wav with something after the sound", wav(3, Some(64_000)), Some(2000)),
        // 100 frames of 1152 samples at 44.1 kHz.
        ("mp3", mp3(100, false), Some(2612)),
        ("mp3 with a table", mp3(100, true), Some(2612)),
        ("aac", aac(50), Some(2133)),
        ("flac", flac(441_000), Some(10_000)),
        ("flac, length unknown", flac(0), None),
        ("opus", opus(), Some(3000)),
        ("vorbis", vorbis(), Some(2500)),
        ("m4a", mp4(0, 1000, 75_400), Some(75_400)),
        ("m4a of more than two gigasamples", mp4(1, 48_000, 48_000 * 100_000), Some(100_000_000)),
        ("m4a in fragments", mp4(0, 1000, 0), None),
        ("webm", webm(Some(6543.0)), Some(6543)),
        ("webm recorded live", webm(None), Some(4980)),
        ("no recording", b"just some text, again and again. ".repeat(4000), None),
        ("nothing", Vec::new(), None),
    ]
}

#[test]
fn every_container_tells_its_length() {
    for (name, file, millis) in all() {
        assert_eq!(length_in(&file, file.len()), millis, "{name}");
    }
}

#[test]
fn a_file_that_breaks_off_counts_as_far_as_it_came() {
    let file = wav(4, None);
    assert_eq!(length_in(&file[..file.len() - 64_000], 1000), Some(2000));
    let file = mp3(100, false);
    assert_eq!(length_in(&file[..267 + 50 * 417], 1000), Some(1306));
}

#[test]
fn absurd_numbers_are_survived() {
    for file in [
        [&b"ID3\x04\0\x10\xff\xff\xff\xff"[..], &[0xff; 100]].concat(),
        b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0data\0\0\0\0".to_vec(),
        [b"\0\0\0\x01ftyp".as_slice(), &[0xff; 40]].concat(),
        [b"\0\0\0\x18ftypisomisomisomisom\0\0\0\x01".as_slice(), b"moov", &[0xff; 60]].concat(),
        [b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01".as_slice(), &[0xff; 60]].concat(),
        [b"\x1a\x45\xdf\xa3\x80\x44\x89\x88".as_slice(), &f64::MAX.to_be_bytes(), &[0; 60]].concat(),
        [b"OggS\0\0\0\0\0\0\0\0\0\0serl\0\0\0\0crcc".as_slice(), &[0xff; 40]].concat(),
    ] {
        length_in(&file, 7);
    }
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_length(which in 0..18usize, pieces in 1..4000usize) {
        let (_, file, millis) = all().swap_remove(which);
        prop_assert_eq!(length_in(&file, pieces), millis);
    }

    #[test]
    fn damage_is_survived(which in 0..18usize, at in 0..400usize, noise in prop::collection::vec(any::<u8>(), 1..20)) {
        let (_, mut file, _) = all().swap_remove(which);
        let at = at.min(file.len());
        file.splice(at..at, noise);
        length_in(&file, 100);
    }
}
