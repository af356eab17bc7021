//! Secrets at rest: AES-256-GCM under a master key. A sealed value opens only for the row and entry it was made for.
//!
//! Text form: `v1.<key id>.<base64 of nonce, ciphertext and tag>`. The key id is a digest prefix, so that a list of
//! master keys can be rotated: the first seals, all open.

use super::StoreError;
use crate::domain::{ModelId, Secret, SettingId};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose::STANDARD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const VERSION: &str = "v1";
const KEY_LEN: usize = 32;

/// Standard alphabet, with or without padding: people paste both.
const KEY_TEXT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a master key or a sealed value cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("a master key must be 32 bytes in base64 (make one with: openssl rand -base64 32)")]
    MalformedKey,
    #[error("no master key is configured")]
    NoKey,
    #[error("the master key file {} can be read by others (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    ExposedKeyFile { path: PathBuf, mode: u32 },
    #[error("the master key file {} cannot be used: {source}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("the system gave no random numbers")]
    NoRandom,
    #[error("a sealed value is damaged, was moved, or needs a master key that is not configured")]
    Unsealable,
}

impl From<SealError> for StoreError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Unsealable => Self::Unsealable,
            other => Self::Engine(Box::new(other)),
        }
    }
}

/// 32 bytes that open every stored credential.
#[derive(Clone)]
pub struct MasterKey([u8; KEY_LEN]);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl MasterKey {
    pub fn parse_base64(text: &str) -> Result<Self, SealError> {
        let bytes = KEY_TEXT.decode(text.trim()).map_err(|_| SealError::MalformedKey)?;
        bytes.try_into().map(Self).map_err(|_| SealError::MalformedKey)
    }

    /// Reads the key in `path`, or makes one there (mode 0600) when there is no such file. Two processes that start
    /// at once end with the same key; a file that others can read is refused.
    pub fn load_or_create(path: &Path) -> Result<Self, SealError> {
        match Self::load(path) {
            Err(SealError::KeyFile { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            done => return done,
        }
        let failed = |source| SealError::KeyFile { path: path.to_owned(), source };
        match Self::create(path) {
            Ok(()) => {}
            // Somebody else was faster; theirs is the key.
            Err(CreateError::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(CreateError::Io(error)) => return Err(failed(error)),
            Err(CreateError::NoRandom) => return Err(SealError::NoRandom),
        }
        Self::load(path)
    }

    fn load(path: &Path) -> Result<Self, SealError> {
        let failed = |source| SealError::KeyFile { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
            if mode & 0o077 != 0 {
                return Err(SealError::ExposedKeyFile { path: path.to_owned(), mode });
            }
        }
        let mut text = String::new();
        // A key is 44 characters; whatever is longer is not one.
        file.take(256).read_to_string(&mut text).map_err(failed)?;
        Self::parse_base64(&text)
    }

    /// Written whole to a neighbour, then linked into place: the name never shows a half-written key.
    fn create(path: &Path) -> Result<(), CreateError> {
        let mut random = [0; KEY_LEN + 8];
        SystemRandom::new().fill(&mut random).map_err(|_| CreateError::NoRandom)?;
        let (key, suffix) = random.split_at(KEY_LEN);
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let draft = path.with_extension(format!("{}.new", hex::encode(suffix)));
        let written = write_private(&draft, &format!("{}\n", STANDARD.encode(key)))
            .and_then(|()| std::fs::hard_link(&draft, path))
            .and_then(|()| std::fs::File::open(folder)?.sync_all());
        // Best effort: a left-over draft is a key that opens nothing.
        let _ = std::fs::remove_file(&draft);
        Ok(written?)
    }
}

#[derive(Debug)]
enum CreateError {
    Io(io::Error),
    NoRandom,
}

impl From<io::Error> for CreateError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A master key, ready to use, and the name that sealed values call it by.
struct Lock {
    id: String,
    key: LessSafeKey,
}

/// Where a sealed value stands.
#[derive(Clone, Copy, Debug)]
pub enum SealedRow {
    Setting(SettingId),
    Model(ModelId),
}

impl From<SettingId> for SealedRow {
    fn from(id: SettingId) -> Self {
        Self::Setting(id)
    }
}

impl From<ModelId> for SealedRow {
    fn from(id: ModelId) -> Self {
        Self::Model(id)
    }
}

/// Seals and opens the secrets of settings and models.
pub struct Sealer {
    /// Never empty; the first seals.
    locks: Vec<Lock>,
    random: SystemRandom,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.locks.len()).finish_non_exhaustive()
    }
}

impl Sealer {
    /// The first key seals, all of them open.
    #[expect(clippy::needless_pass_by_value, reason = "the caller keeps no copy of the keys")]
    pub fn new(keys: Vec<MasterKey>) -> Result<Self, SealError> {
        if keys.is_empty() {
            return Err(SealError::NoKey);
        }
        let locks = keys.iter().map(Lock::new).collect::<Result<_, _>>()?;
        Ok(Self { locks, random: SystemRandom::new() })
    }

    /// LIMIT: random nonces are safe for 2^32 values per master key; a setting has one to three, a model one.
    pub fn seal(&self, row: impl Into<SealedRow>, entry: &str, secret: &Secret) -> Result<String, SealError> {
        let lock = self.locks.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| SealError::NoRandom)?;
        let mut body = secret.expose().as_bytes().to_vec();
        lock.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place(row.into(), entry), &mut body)
            .map_err(|_| SealError::Unsealable)?;
        let sealed = [&nonce[..], &body].concat();
        Ok(format!("{VERSION}.{}.{}", lock.id, STANDARD.encode(sealed)))
    }

    pub fn open(&self, row: impl Into<SealedRow>, entry: &str, sealed: &str) -> Result<Secret, SealError> {
        self.try_open(row.into(), entry, sealed).ok_or(SealError::Unsealable)
    }

    /// Whether the value was sealed with the first key.
    pub fn is_current(&self, sealed: &str) -> bool {
        parts(sealed).is_some_and(|(id, _)| self.locks.first().is_some_and(|lock| lock.id == id))
    }

    fn try_open(&self, row: SealedRow, entry: &str, sealed: &str) -> Option<Secret> {
        let (id, body) = parts(sealed)?;
        let lock = self.locks.iter().find(|lock| lock.id == id)?;
        let bytes = STANDARD.decode(body).ok()?;
        let (nonce, body) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut body = body.to_vec();
        let plain = lock.key.open_in_place(Nonce::assume_unique_for_key(*nonce), place(row, entry), &mut body).ok()?;
        std::str::from_utf8(plain).ok().map(Secret::new)
    }
}

impl Lock {
    fn new(key: &MasterKey) -> Result<Self, SealError> {
        let labelled = [b"tollgate master key\0", &key.0[..]].concat();
        let digest = ring::digest::digest(&ring::digest::SHA256, &labelled);
        let id = hex::encode(digest.as_ref().first_chunk::<8>().ok_or(SealError::MalformedKey)?);
        let key = UnboundKey::new(&AES_256_GCM, &key.0).map_err(|_| SealError::MalformedKey)?;
        Ok(Self { id, key: LessSafeKey::new(key) })
    }
}

/// Key id and body of a sealed text.
fn parts(sealed: &str) -> Option<(&str, &str)> {
    let (version, rest) = sealed.split_once('.')?;
    (version == VERSION).then_some(())?;
    rest.split_once('.')
}

/// Binds a sealed value to its row and entry. Ids have a fixed length, so the parts cannot be shifted.
fn place(row: SealedRow, entry: &str) -> Aad<Vec<u8>> {
    Aad::from(match row {
        SealedRow::Setting(id) => [b"tollgate setting v1\0", &id.as_bytes()[..], entry.as_bytes()].concat(),
        SealedRow::Model(id) => [b"tollgate model v1\0", &id.0.to_be_bytes()[..], entry.as_bytes()].concat(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn id(n: u128) -> SettingId {
        SettingId::from_uuid(Uuid::from_u128(n))
    }
    fn sealer(keys: &[u8]) -> Sealer {
        Sealer::new(keys.iter().map(|k| MasterKey([*k; KEY_LEN])).collect()).unwrap()
    }
    fn secret() -> Secret {
        Secret::new("sk-very-secret-value")
    }

    #[test]
    fn what_was_sealed_opens_and_shows_nothing() {
        let sealer = sealer(&[1]);
        let sealed = sealer.seal(id(1), "apikey", &secret()).unwrap();
        assert!(!sealed.contains("secret"), "{sealed}");
        assert_eq!(sealer.open(id(1), "apikey", &sealed).unwrap(), secret());
        assert_ne!(sealed, sealer.seal(id(1), "apikey", &secret()).unwrap(), "a nonce was used twice");
    }

    #[test]
    fn a_value_moved_to_another_row_or_entry_stays_shut() {
        let sealer = sealer(&[1]);
        let sealed = sealer.seal(id(1), "apikey", &secret()).unwrap();
        assert!(matches!(sealer.open(id(2), "apikey", &sealed), Err(SealError::Unsealable)));
        assert!(matches!(sealer.open(id(1), "bearerToken", &sealed), Err(SealError::Unsealable)));
        let sealed = sealer.seal(ModelId(1), "config", &secret()).unwrap();
        assert_eq!(sealer.open(ModelId(1), "config", &sealed).unwrap(), secret());
        assert!(matches!(sealer.open(ModelId(2), "config", &sealed), Err(SealError::Unsealable)));
        assert!(matches!(sealer.open(id(1), "config", &sealed), Err(SealError::Unsealable)));
    }

    #[test]
    fn every_damaged_character_is_noticed() {
        let sealer = sealer(&[1]);
        let sealed = sealer.seal(id(1), "apikey", &secret()).unwrap();
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(bytes).unwrap();
            assert!(sealer.open(id(1), "apikey", &damaged).is_err(), "at {at}");
        }
        for nonsense in ["", "v1", "v1.", "v1..", "v2.x.y", "v1.x.y.z", sealed.get(..40).unwrap()] {
            assert!(sealer.open(id(1), "apikey", nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn rotation_seals_with_the_first_key_and_opens_with_all() {
        let old = sealer(&[1]).seal(id(1), "apikey", &secret()).unwrap();
        let rotated = sealer(&[2, 1]);
        assert_eq!(rotated.open(id(1), "apikey", &old).unwrap(), secret());
        assert!(!rotated.is_current(&old));
        let new = rotated.seal(id(1), "apikey", &secret()).unwrap();
        assert!(rotated.is_current(&new));
        assert!(sealer(&[1]).open(id(1), "apikey", &new).is_err());
        assert!(sealer(&[2]).open(id(1), "apikey", &new).is_ok());
        assert!(matches!(Sealer::new(Vec::new()), Err(SealError::NoKey)));
    }

    #[test]
    fn only_32_bytes_are_a_master_key() {
        for good in [
            &STANDARD.encode([7; 32]),
            STANDARD.encode([7; 32]).trim_end_matches('='),
            &format!(" {}\n", STANDARD.encode([7; 32])),
        ] {
            assert_eq!(MasterKey::parse_base64(good).unwrap().0, [7; 32], "{good}");
        }
        for bad in ["", "abc", &STANDARD.encode([7; 31]), &STANDARD.encode([7; 33]), "not base64 at all!"] {
            assert!(matches!(MasterKey::parse_base64(bad), Err(SealError::MalformedKey)), "{bad}");
        }
        assert_eq!(format!("{:?}", MasterKey([7; 32])), "[redacted]");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/master.key");
        let made = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(MasterKey::load_or_create(&path).unwrap().0, made.0);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a draft was left behind");

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let refused = MasterKey::load_or_create(&path).unwrap_err();
        assert!(matches!(refused, SealError::ExposedKeyFile { mode: 0o640, .. }), "{refused}");
        assert!(refused.to_string().contains("0640"));
    }

    #[test]
    fn racing_processes_end_with_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| MasterKey::load_or_create(&path).unwrap().0)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|k| k == &keys[0]));
    }

    #[test]
    fn a_broken_key_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        write_private(&path, "garbage").unwrap();
        assert!(matches!(MasterKey::load_or_create(&path), Err(SealError::MalformedKey)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "garbage");
    }
}
