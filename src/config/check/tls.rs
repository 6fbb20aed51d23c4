//! Certificates: `[server.tls]`, and the authorities of a provider.

use std::path::Path;
use std::sync::Arc;

use super::Check;
use crate::config::raw::{RawProvider, RawTls};
use crate::config::read::{At, Place};
use crate::http::{Tls, TlsError};

/// The largest file of certificates that is read.
const MAX_BYTES: u64 = 1 << 20;

impl Check<'_> {
    /// The listener's certificate with its key.
    pub(super) fn tls(&self, raw: &RawTls) -> Option<Tls> {
        let advice = |what| format!("name the file with the {what}, PEM");
        let cert = self.required(raw.cert.as_ref(), &raw.place, "cert", &advice("certificate chain"));
        let key = self.required(raw.key.as_ref(), &raw.place, "key", &advice("private key"));
        let (cert, key) = (cert?, key?);
        let (cert_pem, key_pem) = (self.file(cert), self.private_file(key));
        match Tls::from_pem(&cert_pem?, &key_pem?) {
            Ok(tls) => Some(tls),
            Err(error) => {
                let place: &Place = match error {
                    TlsError::NoCertificate => &cert.place,
                    TlsError::NoKey => &key.place,
                    TlsError::Unusable(_) => &raw.place,
                };
                self.source.fault(place, error.to_string());
                None
            }
        }
    }

    /// Who may vouch for a provider's server.
    pub(super) fn authorities(&self, raw: &RawProvider) -> Option<Arc<[u8]>> {
        let file = raw.ca_file.as_ref()?;
        if raw.base_url.as_ref().is_some_and(|url| url.value.starts_with("http://")) {
            self.source.fault(
                &file.place,
                "has no use: `base_url` begins with http://, so there is no certificate to check",
            );
        }
        self.file(file).map(Arc::from)
    }

    /// The content of a file that a setting names.
    fn file(&self, named: &At<String>) -> Option<Vec<u8>> {
        let path = self.folder.join(&named.value);
        let is_usual = |file: &std::fs::Metadata| file.is_file() && file.len() <= MAX_BYTES;
        let why = match std::fs::metadata(&path) {
            Ok(file) if is_usual(&file) => match std::fs::read(&path) {
                Ok(content) => return Some(content),
                Err(error) => format!("cannot be read: {error}"),
            },
            Ok(_) => format!("is no file of at most {MAX_BYTES} bytes"),
            Err(error) => format!("cannot be read: {error}"),
        };
        self.source.fault(&named.place, format!("{} {why}", path.display()));
        None
    }

    /// As [`Self::file`], of a secret: nobody else on the machine may be able to read it.
    fn private_file(&self, named: &At<String>) -> Option<Vec<u8>> {
        let path = self.folder.join(&named.value);
        if is_open_to_others(&path) {
            let advice = format!("can be read by everybody on this machine; `chmod 600 {}`", path.display());
            self.source.fault(&named.place, advice);
            return None;
        }
        self.file(named)
    }
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> bool {
    false
}
