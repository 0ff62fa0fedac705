//! Speaks with an OCI registry: fetches one component with its signature, or puts it there. It takes a registry's word
//! for nothing but what it is called, and knows nothing of plugins.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use akita_sandbox::MAX_FILE_BYTES;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use oci_wasm::{WASM_LAYER_MEDIA_TYPE, WASM_MANIFEST_CONFIG_MEDIA_TYPE, WasmClient, WasmConfig};
use tokio::io::AsyncWrite;

use crate::cli::render::{size, tame};
use crate::exit::{ExitCode, ExitError};

/// The annotation of the manifest that holds the text of `FILE.sig`, in base64: a line feed has no place there.
pub const SIGNATURE: &str = "akita.plugin.signature";
/// A registry that does not even answer the door by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// For all of a manifest, which has some hundred bytes: so one that never ends is not read for ever.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What was fetched. Its digest holds; what is in it may be anything.
pub struct Fetched {
    /// Of the manifest, by which the same can be fetched again.
    pub digest: String,
    /// The layer.
    pub bytes: Vec<u8>,
    /// What is said to be its signature.
    pub signature: Option<String>,
}

/// A place in a registry.
pub struct Place {
    reference: Reference,
    auth: RegistryAuth,
    client: WasmClient,
}

impl Place {
    /// Reads a reference, and the credentials for its registry. Asks nobody yet.
    ///
    /// # Errors
    /// It is no reference, or credentials are there and cannot be read.
    pub fn of(text: &str) -> Result<Place, ExitError> {
        let reference: Reference = text.parse().map_err(|error| {
            ExitError::usage(format!("`{}` is no reference: {error}", tame(text)))
                .hint("write registry, repository and tag: registry.example.org/team/image:1.2.0")
        })?;
        let registry = reference.resolve_registry();
        let protocol = if is_loopback(registry) {
            ClientProtocol::HttpsExcept(vec![registry.to_owned()])
        } else {
            ClientProtocol::Https
        };
        // It may have been chosen already, and then the same.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig {
            protocol,
            // A component is for every platform: an index of several has nothing to choose from.
            platform_resolver: None,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("akita/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config)
            .map_err(|error| ExitError::config(format!("HTTPS cannot be set up: {}", chain(&error))))?;
        Ok(Place { auth: credentials(registry)?, client: WasmClient::new(client), reference })
    }

    /// Whether it names content, not a place for it.
    pub fn is_fixed(&self) -> bool {
        self.reference.digest().is_some()
    }

    /// The whole reference.
    pub fn name(&self) -> String {
        self.reference.whole()
    }

    /// Fetches what is there, no more than a plugin may have.
    ///
    /// # Errors
    /// There is nothing, it is no component, its digest does not hold, or the registry cannot be asked.
    pub async fn pull(&self) -> Result<Fetched, ExitError> {
        let asked = self.client.pull_image_manifest(&self.reference, &self.auth);
        let (mut manifest, digest) = self.in_time(asked).await?;
        let not_one = |what: String| {
            ExitError::new(ExitCode::Refused, format!("{} holds no plugin: {what}", self.name()))
                .hint("a plugin is one layer of application/wasm, as `akita plugin push` writes it")
        };
        let signature = manifest.annotations.as_mut().and_then(|annotations| annotations.remove(SIGNATURE));
        let OciImageManifest { config, layers, .. } = &manifest;
        let [layer] = &layers[..] else { return Err(not_one(format!("it has {} layers", layers.len()))) };
        for (found, wanted) in
            [(&config.media_type, WASM_MANIFEST_CONFIG_MEDIA_TYPE), (&layer.media_type, WASM_LAYER_MEDIA_TYPE)]
        {
            if found != wanted {
                return Err(not_one(format!("it is of {}, not {wanted}", tame(found))));
            }
        }
        let Some(bytes) = u64::try_from(layer.size).ok().filter(|bytes| *bytes <= MAX_FILE_BYTES) else {
            let most = size(MAX_FILE_BYTES);
            return Err(not_one(format!("it says that it has {} bytes, and a plugin has at most {most}", layer.size)));
        };
        let mut taken = Bounded { bytes: Vec::new(), most: bytes };
        self.client.pull_blob(&self.reference, layer, &mut taken).await.map_err(|error| self.failed(&error))?;
        if taken.bytes.len() as u64 != bytes {
            return Err(not_one(format!("it has {} bytes, and says that it has {bytes}", taken.bytes.len())));
        }
        Ok(Fetched { digest, bytes: taken.bytes, signature })
    }

    /// Puts a component there; the digest of the manifest.
    ///
    /// # Errors
    /// The registry does not take it, or cannot be asked.
    pub async fn push(&self, bytes: Vec<u8>, notes: BTreeMap<String, String>) -> Result<String, ExitError> {
        let (config, layer) = WasmConfig::from_raw_component(bytes, None)
            .map_err(|error| ExitError::config(format!("the component cannot be described: {error:#}")))?;
        let pushed = self.client.push(&self.reference, &self.auth, layer, config, Some(notes)).await;
        pushed.map_err(|error| match error.downcast::<OciDistributionError>() {
            Ok(error) => self.failed(&error),
            Err(error) => ExitError::internal(format!("{error:#}")),
        })?;
        self.in_time(self.client.fetch_manifest_digest(&self.reference, &self.auth)).await
    }

    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, OciDistributionError>>) -> Result<T, ExitError> {
        match tokio::time::timeout(MANIFEST_TIMEOUT, asked).await {
            Ok(answer) => answer.map_err(|error| self.failed(&error)),
            Err(_) => Err(self.absent(&format!("no answer within {} s", MANIFEST_TIMEOUT.as_secs()))),
        }
    }

    fn failed(&self, error: &OciDistributionError) -> ExitError {
        use OciDistributionError as E;
        let known = |codes: &[OciErrorCode]| match error {
            E::RegistryError { envelope, .. } => envelope.errors.iter().any(|error| codes.contains(&error.code)),
            _ => false,
        };
        match error {
            E::RequestError(error) if error.is_connect() || error.is_timeout() => self.absent(&chain(error)),
            E::UnauthorizedError { .. } | E::AuthenticationFailure(_) | E::ServerError { code: 401 | 403, .. } => {
                self.denied()
            }
            _ if known(&[OciErrorCode::Unauthorized, OciErrorCode::Denied]) => self.denied(),
            E::ImageManifestNotFoundError(_) | E::ServerError { code: 404, .. } => self.missing(),
            _ if known(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound]) => {
                self.missing()
            }
            error => ExitError::new(ExitCode::Refused, format!("{}: {}", self.name(), chain(error)))
                .hint("try again, and ask who runs the registry if it stays so"),
        }
    }

    fn absent(&self, why: &str) -> ExitError {
        let registry = self.reference.resolve_registry();
        let scheme = if is_loopback(registry) { "HTTP, as it is on this machine" } else { "HTTPS" };
        ExitError::new(ExitCode::Unavailable, format!("the registry {registry} cannot be reached: {why}"))
            .hint(format!("check its name and port; it is spoken to in {scheme}"))
    }

    fn denied(&self) -> ExitError {
        let (registry, name) = (self.reference.resolve_registry(), self.name());
        ExitError::new(ExitCode::Refused, format!("the registry {registry} does not let you use {name}"))
            .hint(format!("log in with: docker login {registry} (its config.json is what is read)"))
    }

    fn missing(&self) -> ExitError {
        ExitError::new(ExitCode::Refused, format!("there is no {}", self.name()))
            .hint("check repository and tag; some registries say so too of what you may not see: log in first")
    }
}

/// Whether a registry, perhaps with a port, is on this machine.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Those of `docker login` and of tools that keep them in the same place.
fn credentials(registry: &str) -> Result<RegistryAuth, ExitError> {
    // Its own name for its own registry.
    let server = if registry == "index.docker.io" { "https://index.docker.io/v1/" } else { registry };
    let failed = |why: String| {
        ExitError::config(format!("the credentials for {registry} cannot be read: {}", tame(&why)))
            .hint(format!("log in again with: docker login {registry}"))
    };
    match docker_credential::get_credential(server) {
        Ok(DockerCredential::UsernamePassword(name, password)) => Ok(RegistryAuth::Basic(name, password)),
        Ok(DockerCredential::IdentityToken(_)) => {
            Err(failed("an identity token is not supported: log in with a name and a password or access token".into()))
        }
        Err(CredentialRetrievalError::NoCredentialConfigured | CredentialRetrievalError::ConfigNotFound) => {
            Ok(RegistryAuth::Anonymous)
        }
        // The library tells a file that is not there from one that cannot be read in no way.
        Err(CredentialRetrievalError::ConfigReadError) if !has_logged_in() => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Whether there is a file of credentials, where `docker login` keeps it.
fn has_logged_in() -> bool {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from).or_else(home);
    folder.is_some_and(|folder| folder.join("config.json").symlink_metadata().is_ok())
}

/// An error with what is behind it, on one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    tame(&text).replace('\n', " ")
}

/// Takes no more bytes than were announced.
struct Bounded {
    bytes: Vec<u8>,
    most: u64,
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, more: &[u8]) -> Poll<std::io::Result<usize>> {
        if (self.bytes.len() + more.len()) as u64 > self.most {
            return Poll::Ready(Err(std::io::Error::other(format!("more than the {} bytes announced", self.most))));
        }
        self.bytes.extend_from_slice(more);
        Poll::Ready(Ok(more.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs what has to wait for a registry.
///
/// # Errors
/// What it ends with.
pub fn wait<T>(work: impl Future<Output = Result<T, ExitError>>) -> Result<T, ExitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| ExitError::internal(error.to_string()))?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000"] {
            assert!(is_loopback(here), "{here}");
        }
        for there in ["registry.example.org", "localhost.example.org:5000", "192.168.0.1:5000", "index.docker.io"] {
            assert!(!is_loopback(there), "{there}");
        }
    }
}
