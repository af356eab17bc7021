//! What a value may be: from raw text or TOML to a type that cannot be wrong. A refusal says what was expected and
//! never repeats the value; whether it may be shown is the caller's decision.

use super::declare::Form;
use crate::auth::origins::Origins;
use crate::counters::OnOutage;
use crate::domain::{BillingZone, BudgetMode, Network, Secret, duration};
use crate::store::postgres::TlsMode;
use crate::telemetry::{LogFormat, LogLevel};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A value as it was found. Environment variables are always text.
#[derive(Clone)]
pub(super) enum Raw {
    Text(String),
    Integer(i64),
    Switch(bool),
    List(Vec<String>),
    /// A kind of TOML value that no key has, by its name.
    Unfit(&'static str),
}

/// Who may see a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Open,
    /// Only once it has been checked: it could hold a password in the wrong place.
    WhenGood,
    Never,
}

/// What is wrong with a value, as the end of a sentence that begins with it.
pub(super) type Fault = String;

pub(super) trait Value: Sized {
    const FORM: Form = Form::Quoted;
    const SIGHT: Sight = Sight::Open;
    fn read(raw: &Raw) -> Result<Self, Fault>;
}

/// The text without the space around it.
pub(super) fn text(raw: &Raw) -> Option<&str> {
    match raw {
        Raw::Text(text) => Some(text.trim()),
        _ => None,
    }
}

/// How many bytes; at most what an `i64` holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ByteSize(u64);

impl ByteSize {
    pub const fn bytes(self) -> u64 {
        self.0
    }
    /// For lengths in memory; saturates on machines with smaller words.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(digits)?;
        let factor: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ => return None,
        };
        let bytes = number.parse::<u64>().ok()?.checked_mul(factor)?;
        i64::try_from(bytes).is_ok().then_some(Self(bytes))
    }
}

impl Value for ByteSize {
    fn read(raw: &Raw) -> Result<Self, Fault> {
        match raw {
            Raw::Integer(bytes) => u64::try_from(*bytes).ok().map(Self),
            _ => text(raw).and_then(Self::parse),
        }
        .ok_or_else(|| "is not a size such as 1048576, \"64KiB\" or \"32MiB\"".to_owned())
    }
}

impl Value for Duration {
    fn read(raw: &Raw) -> Result<Self, Fault> {
        text(raw)
            .and_then(duration::parse)
            .ok_or_else(|| "is not a duration such as \"500ms\", \"30s\" or \"1h30m\"".to_owned())
    }
}

impl Value for SocketAddr {
    fn read(raw: &Raw) -> Result<Self, Fault> {
        text(raw)
            .and_then(|t| t.parse().ok())
            .ok_or_else(|| "is not an address with a port such as \"127.0.0.1:8001\" or \"[::]:8001\"".to_owned())
    }
}

impl Value for BillingZone {
    fn read(raw: &Raw) -> Result<Self, Fault> {
        text(raw)
            .and_then(Self::parse)
            .ok_or_else(|| "is not a time zone of the IANA database such as \"UTC\" or \"Asia/Shanghai\"".to_owned())
    }
}

impl Value for PathBuf {
    fn read(raw: &Raw) -> Result<Self, Fault> {
        match raw {
            Raw::Text(path) if !path.is_empty() => Ok(Self::from(path)),
            _ => Err("is not a path".to_owned()),
        }
    }
}

impl Value for Secret {
    const SIGHT: Sight = Sight::Never;
    fn read(raw: &Raw) -> Result<Self, Fault> {
        match raw {
            Raw::Text(text) => Ok(Self::new(text.as_str())),
            _ => Err("is not text".to_owned()),
        }
    }
}

impl Value for String {
    fn read(raw: &Raw) -> Result<Self, Fault> {
        text(raw).map(str::to_owned).ok_or_else(|| "is not text".to_owned())
    }
}

/// A TOML list, or one text with commas.
impl Value for Vec<String> {
    const FORM: Form = Form::List;
    fn read(raw: &Raw) -> Result<Self, Fault> {
        Ok(parts(raw).ok_or("is not a list of texts")?.into_iter().map(str::to_owned).collect())
    }
}

/// The same.
impl Value for Vec<Secret> {
    const FORM: Form = Form::List;
    const SIGHT: Sight = Sight::Never;
    fn read(raw: &Raw) -> Result<Self, Fault> {
        Ok(parts(raw).ok_or("is not a list of texts")?.into_iter().map(Secret::new).collect())
    }
}

/// The same.
impl Value for Vec<Network> {
    const FORM: Form = Form::List;
    fn read(raw: &Raw) -> Result<Self, Fault> {
        let networks = |parts: Vec<&str>| parts.into_iter().map(Network::parse).collect();
        parts(raw).and_then(networks).ok_or_else(|| {
            "is not a list of networks such as \"10.0.0.0/8\" or \"fd00::/8\", with no bits after the prefix".to_owned()
        })
    }
}

/// One text in the file too.
impl Value for Origins {
    fn read(raw: &Raw) -> Result<Self, Fault> {
        parts(raw)
            .and_then(|parts| Self::parse(&parts.join(",")))
            .ok_or_else(|| "is neither \"*\" nor a list of origins such as \"https://console.example\"".to_owned())
    }
}

fn parts(raw: &Raw) -> Option<Vec<&str>> {
    let parts: Vec<&str> = match raw {
        Raw::Text(text) => text.split(',').collect(),
        Raw::List(parts) => parts.iter().map(String::as_str).collect(),
        _ => return None,
    };
    Some(parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect())
}

/// Empty text means none.
impl<T: Value> Value for Option<T> {
    const FORM: Form = T::FORM;
    const SIGHT: Sight = T::SIGHT;
    fn read(raw: &Raw) -> Result<Self, Fault> {
        if text(raw).is_some_and(str::is_empty) { Ok(None) } else { T::read(raw).map(Some) }
    }
}

impl Value for bool {
    const FORM: Form = Form::Bare;
    fn read(raw: &Raw) -> Result<Self, Fault> {
        if let Raw::Switch(on) = raw {
            return Ok(*on);
        }
        match text(raw).unwrap_or_default().to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "on" => Ok(true),
            "false" | "f" | "0" | "no" | "off" => Ok(false),
            _ => Err("is not true or false".to_owned()),
        }
    }
}

macro_rules! whole_number {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const FORM: Form = Form::Bare;
            fn read(raw: &Raw) -> Result<Self, Fault> {
                match raw {
                    Raw::Integer(number) => Self::try_from(*number).ok(),
                    _ => text(raw).and_then(|t| t.parse().ok()),
                }
                .ok_or_else(|| format!("is not a whole number from {} to {}", Self::MIN, Self::MAX))
            }
        }
    )+};
}
whole_number!(u16, u32, u64, usize, i64);

/// What to do with a request whose cost cannot be computed, of a key that has a budget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unpriced {
    Refuse,
    Allow,
}

/// What to do with a parameter that a model's provider has no word for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnsupportedParams {
    Drop,
    Refuse,
}

/// A region of AWS: it becomes part of host names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region(String);

impl Region {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Region {
    fn read(raw: &Raw) -> Result<Self, Fault> {
        let sound = |region: &&str| {
            (1..=40).contains(&region.len())
                && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        text(raw).filter(sound).map(|region| Self(region.into())).ok_or("is not a region such as us-east-1".into())
    }
}

/// Where an event must be before the last byte of its response leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// In the operating system's hands.
    Os,
    Disk,
}

macro_rules! choice {
    ($type:ty { $($name:literal => $value:expr),+ $(,)? }) => {
        impl Value for $type {
            fn read(raw: &Raw) -> Result<Self, Fault> {
                match text(raw) {
                    $(Some($name) => Ok($value),)+
                    _ => Err(format!("is not one of {}", [$($name),+].join(", "))),
                }
            }
        }
    };
}
choice!(UnsupportedParams { "drop" => Self::Drop, "error" => Self::Refuse });
choice!(Unpriced { "refuse" => Self::Refuse, "allow" => Self::Allow });
choice!(Durability { "os" => Self::Os, "disk" => Self::Disk });
choice!(TlsMode {
    "disable" => Self::Disable,
    "allow" => Self::Allow,
    "prefer" => Self::Prefer,
    "require" => Self::Require,
    "verify-ca" => Self::VerifyCa,
    "verify-full" => Self::VerifyFull,
});
choice!(BudgetMode { "observe" => Self::Observe, "reserve" => Self::Reserve, "strict" => Self::Strict });
choice!(OnOutage { "local" => Self::Local, "deny" => Self::Deny });
choice!(LogFormat { "text" => Self::Text, "json" => Self::Json });
choice!(LogLevel {
    "off" => Self::Off,
    "error" => Self::Error,
    "warn" => Self::Warn,
    "info" => Self::Info,
    "debug" => Self::Debug,
    "trace" => Self::Trace,
});
