//! Where a log lies: a file of SQLite or a database of Postgres. A password in it is never shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// The variable that holds the password when the URL has none, as for other programs of Postgres.
pub const PASSWORD_ENV: &str = "PGPASSWORD";
/// What an address that begins like one of Postgres must look like.
const FORM: &str = "is no address of Postgres: write `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, special characters of the \
     password percent-encoded, or leave the password out and set PGPASSWORD; after `?` may stand sslmode, sslrootcert, \
     target_session_attrs and other options of libpq that tokio-postgres knows";

/// Where the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAddress {
    /// A file of SQLite; a new one is made when there is none.
    File(PathBuf),
    /// A database of Postgres, which several processes may share.
    Postgres(Box<PostgresUrl>),
}

impl StoreAddress {
    /// Whether the text is meant for Postgres.
    pub fn is_postgres(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// What an option of the command line names: a URL of Postgres, `sqlite:FILE` or a file. `password` is used where a URL has none.
    ///
    /// # Errors
    /// A sentence for what begins like a URL of Postgres and is none; it never repeats the text.
    pub fn named(text: &str, password: Option<&str>) -> Result<Self, String> {
        if Self::is_postgres(text) {
            return PostgresUrl::parse(text, password).map(|url| Self::Postgres(Box::new(url)));
        }
        let file = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")).unwrap_or(text);
        Ok(Self::File(PathBuf::from(file)))
    }

    /// Whether nothing is there yet; what is elsewhere shows when it is opened.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::File(path) if !path.exists())
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl From<PathBuf> for StoreAddress {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl From<&PathBuf> for StoreAddress {
    fn from(path: &PathBuf) -> Self {
        Self::File(path.clone())
    }
}

impl From<&Path> for StoreAddress {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

/// Who is trusted to be the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tls {
    /// No encryption: `sslmode=disable`, and what is said when nothing is said to a server on this machine.
    Off,
    /// Encrypted, the server's certificate and name checked: by the system's authorities, or by those of a file.
    Verified(Option<PathBuf>),
}

/// A checked URL of Postgres.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    pub(super) config: Config,
    pub(super) tls: Tls,
}

impl PostgresUrl {
    /// Reads `text`; `password` is used where it has none.
    ///
    /// # Errors
    /// What is wrong, as a sentence that follows the option's name. It never repeats the text.
    pub fn parse(text: &str, password: Option<&str>) -> Result<Self, String> {
        let (base, options) = text.split_once('?').unwrap_or((text, ""));
        let (mut mode, mut authorities, mut others) = (None, None, Vec::new());
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => authorities = Some(PathBuf::from(unescaped(value)?)),
                _ => others.push(option),
            }
        }
        let plain = if others.is_empty() { base.to_owned() } else { [base, &others.join("&")].join("?") };
        let mut config = Config::from_str(&plain).map_err(|_| FORM.to_owned())?;
        if config.get_hosts().is_empty() || config.get_dbname().is_none_or(str::is_empty) {
            return Err(
                "must name a host and a database, as in `postgres://USER:PASSWORD@HOST/DATABASE`".into()
            );
        }
        if let Some(password) = password.filter(|_| config.get_password().is_none()) {
            config.password(password);
        }
        let tls = tls(mode.as_deref(), authorities, &config)?;
        config.ssl_mode(if tls == Tls::Off { SslMode::Disable } else { SslMode::Require });
        Ok(Self { config, tls })
    }
}

fn unescaped(text: &str) -> Result<String, String> {
    let query = format!("v={}", text.replace('+', "%2B"));
    let found = url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned());
    found.filter(|path| !path.is_empty()).ok_or_else(|| "sslrootcert must name a file".to_owned())
}

fn tls(mode: Option<&str>, authorities: Option<PathBuf>, config: &Config) -> Result<Tls, String> {
    match mode {
        Some("disable") if authorities.is_some() => {
            Err("has sslrootcert beside sslmode=disable; write sslmode=verify-full".into())
        }
        Some("disable") => Ok(Tls::Off),
        Some("require" | "verify-ca" | "verify-full") => Ok(Tls::Verified(authorities)),
        None if authorities.is_some() => Ok(Tls::Verified(authorities)),
        None if config.get_hosts().iter().all(is_this_machine) => Ok(Tls::Off),
        None => Err("leads to another machine: say sslmode=verify-full (encrypted, the certificate checked; with \
             sslrootcert=FILE for an authority of your own), or sslmode=disable on a network that nobody else reads"
            .into()),
        Some("prefer" | "allow") => {
            Err("asks for encryption only where there happens to be some: write sslmode=verify-full or sslmode=disable".into())
        }
        Some(_) => Err("has an sslmode that is not known: write sslmode=verify-full or sslmode=disable".into()),
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

/// Without the password, made of what was understood.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        for (place, host) in self.config.get_hosts().iter().enumerate() {
            f.write_str(if place > 0 { "," } else { "" })?;
            match host {
                Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]")?,
                Host::Tcp(name) => f.write_str(name)?,
                #[cfg(unix)]
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
            let ports = self.config.get_ports();
            if let Some(port) = ports.get(place).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> PostgresUrl {
        PostgresUrl::parse(text, None).unwrap()
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("postgres://ann:s%40cret@localhost:5433/logs", "postgres://ann@localhost:5433/logs"),
            (
                "postgresql://ann:s3cret@127.0.0.1/logs?connect_timeout=3",
                "postgres://ann@127.0.0.1:5432/logs",
            ),
            ("postgres://ann:s3cret@one:1,two:2/l?sslmode=verify-full", "postgres://ann@one:1,two:2/l"),
            ("postgres://ann@%2Frun%2Fpg:5/logs?password=s3cret", "postgres://ann@/run/pg:5/logs"),
        ] {
            let address = StoreAddress::named(text, None).unwrap();
            assert_eq!(address.to_string(), shown);
            assert!(!format!("{address:?}").contains("cret"), "{address:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_repeating_it() {
        for (text, said) in [
            ("postgres://ann:s3cret@localhost:port/logs", "is no address"),
            ("postgres://ann:s3cret@localhost/", "must name a host and a database"),
            ("postgres://ann:s3cret@db.example/logs", "another machine"),
            ("postgres://ann:s3cret@db.example/logs?sslmode=prefer", "happens to be"),
            ("postgres://ann:s3cret@db.example/logs?sslmode=s3cret", "not known"),
            ("postgres://ann:s3cret@h/logs?sslmode=disable&sslrootcert=/a", "beside sslmode=disable"),
        ] {
            let fault = StoreAddress::named(text, None).unwrap_err();
            assert!(fault.contains(said) && !fault.contains("s3c"), "{text}: {fault}");
        }
    }

    #[test]
    fn encryption_is_asked_for_by_name_and_off_on_this_machine() {
        assert_eq!(parsed("postgres://ann@localhost/l").tls, Tls::Off);
        assert_eq!(parsed("postgres://ann@[::1]/l").tls, Tls::Off);
        assert_eq!(parsed("postgres://ann@db/l?sslmode=require").tls, Tls::Verified(None));
        let own = parsed("postgres://ann@localhost/l?sslrootcert=%2Fetc%2Fa+b.pem").tls;
        assert_eq!(own, Tls::Verified(Some("/etc/a+b.pem".into())));
    }

    #[test]
    fn a_password_of_the_environment_is_for_urls_without_one() {
        let with = |text| PostgresUrl::parse(text, Some("of the environment")).unwrap();
        let password = |url: PostgresUrl| url.config.get_password().map(<[u8]>::to_vec);
        assert_eq!(password(with("postgres://ann@localhost/l")), Some(b"of the environment".to_vec()));
        assert_eq!(password(with("postgres://ann:own@localhost/l")), Some(b"own".to_vec()));
    }

    #[test]
    fn other_addresses_are_files() {
        for text in ["sqlite:a/log.db", "sqlite://a/log.db", "a/log.db"] {
            assert_eq!(StoreAddress::named(text, None), Ok(StoreAddress::File("a/log.db".into())));
        }
    }
}
