//! How a key is declared: name, type, default, explanation and foreign variable names in one place. The macro turns a
//! section's declarations into its struct, its table of keys and its reader, so that none can be forgotten.

/// One declared key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) default: &'static str,
    pub(super) doc: &'static [&'static str],
    /// Variables of other products that mean the same.
    pub(super) aliases: &'static [&'static str],
}

/// One `[section]` of the file.
pub(super) struct Section {
    pub(super) path: &'static str,
    pub(super) about: &'static [&'static str],
    pub(super) keys: &'static [Key],
}

/// How a value is written in TOML.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Quoted,
    Bare,
    List,
}

impl Form {
    /// A default as it stands in the example file.
    pub(super) fn literal(self, default: &str) -> String {
        match self {
            Self::Quoted => quote(default),
            Self::Bare => default.to_owned(),
            Self::List => format!("[{default}]"),
        }
    }
}

/// A TOML string.
pub(super) fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The dotted name of a key.
pub(super) fn full_name(section: &str, key: &str) -> String {
    format!("{section}.{key}")
}

/// The variable that sets a key.
pub(super) fn variable(section: &str, key: &str) -> String {
    format!("TOLLGATE_{section}_{key}").replace('.', "_").to_ascii_uppercase()
}

macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty = $default:literal $(, also $alias:literal)* ;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $key: $type, )+
        }

        impl $name {
            const ABOUT: &[&str] = &[$($about),+];
            const KEYS: &[Key] = &[$(
                Key {
                    name: stringify!($key),
                    form: <$type as Value>::FORM,
                    default: $default,
                    doc: &[$($doc),+],
                    aliases: &[$($alias),*],
                }
            ),+];

            /// `None` only when a default in the declarations above is wrong.
            fn read(section: &str, reader: &mut Reader<'_>) -> Option<Self> {
                $( let $key = reader.take::<$type>(section, stringify!($key), $default, &[$($alias),*]); )+
                Some(Self { $( $key: $key? ),+ })
            }
        }
    };
}
pub(super) use section;
