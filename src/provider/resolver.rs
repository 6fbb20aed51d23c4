//! Name look-up for upstreams: bounded in number, off the runtime's threads, and without addresses that no upstream has.
//!
//! What is reached by link alone, and the addresses where clouds keep their metadata service, hand credentials to whoever asks from
//! inside. A name that leads there is refused after it was resolved, so that no record of a foreign zone can point us at it; loopback
//! and private ranges stay open, for that is where local servers live.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower_service::Service;

/// Look-ups of one upstream at the same time; more wait, within the time to connect.
const LOOK_UPS: usize = 8;
/// Metadata services outside of the link-local ranges: Alibaba, Oracle; AWS and Google over IPv6.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

/// Finds the addresses of a host.
pub(super) type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Whether this address is link-local or a metadata service's.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => {
            let inside = embedded(v6).is_some_and(|v4| is_link_local(v4.into()));
            inside || v6.is_unicast_link_local() || METADATA_V6.contains(&v6)
        }
    }
}

/// The IPv4 address inside one that only carries it: mapped, compatible, or behind NAT64's well-known prefix.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, 0, 0, 0, 0, high, low] = v6.segments() else { return v6.to_ipv4() };
    let [[w, x], [y, z]] = [high.to_be_bytes(), low.to_be_bytes()];
    ((a, b) == (0x64, 0xff9b)).then(|| Ipv4Addr::new(w, x, y, z)).or_else(|| v6.to_ipv4())
}

/// Whether `host`, as it stands in a URL, is an address that is refused. Names are judged when they are resolved.
pub fn is_link_local_host(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse().is_ok_and(is_link_local)
}

/// What connections resolve names with.
#[derive(Clone)]
pub(super) struct Resolver {
    look_up: Arc<LookUp>,
    places: Arc<Semaphore>,
    allow_link_local: bool,
}

impl Resolver {
    /// The operating system's.
    pub(super) fn system(allow_link_local: bool) -> Self {
        Self::new(Arc::new(|host: &str| Ok((host, 0).to_socket_addrs()?.collect())), allow_link_local)
    }

    pub(super) fn new(look_up: Arc<LookUp>, allow_link_local: bool) -> Self {
        Self { look_up, places: Arc::new(Semaphore::new(LOOK_UPS)), allow_link_local }
    }
}

/// Why a name has no address for us.
#[derive(Debug, thiserror::Error)]
enum LookUpError {
    #[error("it has no address")]
    None,
    #[error(
        "it leads to a link-local or metadata address; `allow_link_local = true` on the provider lets that pass"
    )]
    LinkLocal,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("allow_link_local", &self.allow_link_local).finish_non_exhaustive()
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (look_up, places) = (Arc::clone(&self.look_up), Arc::clone(&self.places));
        let allow_link_local = self.allow_link_local;
        Box::pin(async move {
            // The place goes with the thread: it is free again when the system answers, not when the caller has gone.
            let place = places.acquire_owned().await?;
            let host = name.as_str().to_owned();
            let found = tokio::task::spawn_blocking(move || {
                let _place = place;
                look_up(&host)
            });
            let found = found.await??;
            let is_empty = found.is_empty();
            let good = found.into_iter().filter(|a| allow_link_local || !is_link_local(a.ip()));
            let good: Vec<SocketAddr> = good.collect();
            match (good.is_empty(), is_empty) {
                (false, _) => Ok(good.into_iter()),
                (true, true) => Err(LookUpError::None.into()),
                (true, false) => {
                    tracing::error!(host = name.as_str(), error = %LookUpError::LinkLocal, "an upstream is not called");
                    Err(LookUpError::LinkLocal.into())
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use futures::future::join_all;

    use super::super::client::Client;
    use super::super::openai::OpenAi;
    use super::super::testing::{COMPLETION, Fake, call, plain};
    use super::super::{Format, Provider, ProviderBuildError, ProviderError, ProviderSettings, build};
    use super::*;
    use crate::domain::ProviderId;

    fn at(base_url: &str) -> ProviderSettings {
        let mut settings = ProviderSettings::new(ProviderId::from("named"), Format::OpenAi);
        settings.base_url = Some(base_url.to_owned());
        settings
    }

    fn provider(settings: &ProviderSettings, look_up: Arc<LookUp>) -> OpenAi {
        let resolver = Resolver::new(look_up, settings.allow_link_local);
        OpenAi::new(Client::resolving_by(settings, resolver).unwrap(), "max_tokens", None)
    }

    #[test]
    fn metadata_and_link_local_addresses_are_known_in_every_clothing() {
        for refused in [
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "192.0.0.192",
            "[fe80::1]",
            "[febf::1]",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
            "[::ffff:169.254.169.254]",
            "[::169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
        ] {
            assert!(is_link_local_host(refused), "{refused}");
        }
        let open = [
            "127.0.0.1",
            "10.0.0.7",
            "192.168.1.1",
            "172.17.0.1",
            "[::1]",
            "[fd12::1]",
            "8.8.8.8",
            "a.local",
        ];
        for open in open {
            assert!(!is_link_local_host(open), "{open}");
        }
    }

    #[test]
    fn an_address_in_the_url_is_refused_unless_it_is_allowed() {
        // 2852039166 is 169.254.169.254 as one number.
        for url in ["http://169.254.169.254/latest", "http://2852039166/v1", "https://[fe80::1]:8443/v1"] {
            let refused = build(at(url)).err();
            assert!(matches!(refused, Some(ProviderBuildError::LinkLocal)), "{url}: {refused:?}");
            assert!(build(ProviderSettings { allow_link_local: true, ..at(url) }).is_ok());
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_metadata_address_is_not_called() {
        let fake = Fake::answering(200, &[("content-type", "application/json")], COMPLETION.as_bytes()).await;
        let port = fake.base_url.rsplit(':').next().unwrap();
        let settings = at(&format!("http://rebound.example:{port}"));
        let metadata: SocketAddr = "169.254.169.254:0".parse().unwrap();
        let only = provider(&settings, Arc::new(move |_| Ok(vec![metadata])));
        assert_eq!(only.complete(&call(plain())).await.err(), Some(ProviderError::Connect));
        assert!(fake.requests().is_empty());
        // Beside it stands a good address: that one is called.
        let both = provider(&settings, Arc::new(move |_| Ok(vec![metadata, "127.0.0.1:0".parse().unwrap()])));
        assert!(both.complete(&call(plain())).await.is_ok());
        let none = provider(&settings, Arc::new(|_| Ok(vec![])));
        assert_eq!(none.complete(&call(plain())).await.err(), Some(ProviderError::Connect));
    }

    #[tokio::test]
    async fn u15_a_resolver_that_does_not_answer_is_a_time_out_and_holds_few_threads() {
        let (answer, gate) = channel::<()>();
        let (gate, asked) = (Mutex::new(gate), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        let settings =
            ProviderSettings { connect_timeout: Duration::from_millis(300), ..at("http://slow.example/v1") };
        let slow = provider(
            &settings,
            Arc::new(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                let _never = gate.lock().unwrap().recv();
                Ok(vec![])
            }),
        );
        let request = call(plain());
        // Nobody answers before all have given up; that they do shows that the runtime is not held up.
        let ends = join_all((0..LOOK_UPS * 2).map(|_| slow.complete(&request))).await;
        for end in ends {
            assert_eq!(end.err(), Some(ProviderError::ConnectTimeout));
        }
        assert!(asked.load(Ordering::SeqCst) <= LOOK_UPS);
        drop(answer);
    }
}
