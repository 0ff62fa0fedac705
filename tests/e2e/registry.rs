//! Plugins go to OCI registries and come back, and nothing that a registry says is believed. The registry is a small one
//! that keeps what it gets and can be told to lie.

#[cfg(not(feature = "oci"))]
#[test]
fn a_build_without_registries_says_how_to_get_them() {
    let node = crate::harness::TestNode::prepared(crate::harness::Spec::alone("no-registries"));
    for args in [&["plugin", "pull", "localhost:1/image"][..], &["plugin", "push", "image.wasm", "localhost:1/image"]] {
        let refused = node.cli(args).expect(3);
        assert!(refused.stderr.contains("--features oci"), "{}", refused.stderr);
    }
}

#[cfg(feature = "oci")]
mod with {
    use std::{
        collections::BTreeMap,
        fs,
        net::SocketAddr,
        path::Path,
        sync::{Arc, Mutex},
    };

    use axum::{
        Router,
        body::Bytes,
        extract::State,
        http::{HeaderMap, Method, StatusCode, Uri},
        response::{IntoResponse as _, Response},
    };
    use serde_json::{Value, json};
    use sha2::{Digest as _, Sha256};
    use tempfile::TempDir;

    use crate::{
        harness::{Spec, TestNode, text},
        lifecycle::{Bench, ask, bytes, put, versioned},
    };

    /// Name and password, as in a header.
    const LOGIN: &str = "YW5uOnNlY3JldA==";

    /// What a registry holds.
    #[derive(Default)]
    struct Held {
        /// By digest.
        blobs: BTreeMap<String, Vec<u8>>,
        /// By repository and tag or digest.
        manifests: BTreeMap<String, Vec<u8>>,
        /// What is being sent.
        upload: Vec<u8>,
        /// Whether it asks who is there.
        closed: bool,
    }

    /// A registry, as much of it as pulling and pushing needs; it runs until the test ends.
    struct Registry {
        address: SocketAddr,
        held: Arc<Mutex<Held>>,
        _runtime: tokio::runtime::Runtime,
    }

    impl Registry {
        fn start() -> Registry {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("a runtime");
            let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let held = Arc::new(Mutex::new(Held::default()));
            let router = Router::new().fallback(serve).with_state(Arc::clone(&held));
            runtime.spawn(async move { axum::serve(listener, router).await });
            Registry { address, held, _runtime: runtime }
        }

        fn reference(&self, rest: &str) -> String {
            format!("{}/{rest}", self.address)
        }

        fn held(&self) -> std::sync::MutexGuard<'_, Held> {
            self.held.lock().expect("nobody panicked")
        }

        fn manifest(&self, place: &str) -> Value {
            serde_json::from_slice(&self.held().manifests[place]).expect("JSON")
        }

        /// Puts another manifest in the place of one, as a registry can.
        fn lie(&self, place: &str, change: impl FnOnce(&mut Value)) {
            let mut manifest = self.manifest("team/talk/1.0.0");
            change(&mut manifest);
            self.held().manifests.insert(place.to_owned(), manifest.to_string().into_bytes());
        }

        fn keep(&self, blob: &[u8]) -> String {
            let digest = digest(blob);
            self.held().blobs.insert(digest.clone(), blob.to_vec());
            digest
        }
    }

    fn digest(bytes: &[u8]) -> String {
        let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{digits}")
    }

    async fn serve(
        State(held): State<Arc<Mutex<Held>>>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        let mut held = held.lock().expect("nobody panicked");
        let login = headers.get("authorization").and_then(|value| value.to_str().ok());
        if held.closed && login != Some(&format!("Basic {LOGIN}")) {
            return (StatusCode::UNAUTHORIZED, [("www-authenticate", "Basic realm=\"test\"")]).into_response();
        }
        let path = uri.path().strip_prefix("/v2/").unwrap_or_default().to_owned();
        if let Some((_, last)) = path.split_once("/blobs/") {
            return blob(&mut held, &method, &path, last, uri.query().unwrap_or_default(), &body);
        }
        let Some((repository, tag)) = path.split_once("/manifests/") else { return StatusCode::OK.into_response() };
        let place = format!("{repository}/{tag}");
        if method == Method::PUT {
            let fixed = format!("{repository}/{}", digest(&body));
            let location = format!("/v2/{repository}/manifests/{}", digest(&body));
            held.manifests.insert(fixed, body.to_vec());
            held.manifests.insert(place, body.to_vec());
            return (StatusCode::CREATED, [("location", location)]).into_response();
        }
        match held.manifests.get(&place) {
            Some(manifest) => {
                let named = [("docker-content-digest", digest(manifest)), ("content-type", kind(manifest))];
                (named, manifest.clone()).into_response()
            }
            None => {
                let unknown = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "not here", "detail": null}]});
                (StatusCode::NOT_FOUND, unknown.to_string()).into_response()
            }
        }
    }

    fn kind(manifest: &[u8]) -> String {
        let manifest: Value = serde_json::from_slice(manifest).unwrap_or_default();
        manifest["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json").to_owned()
    }

    fn blob(held: &mut Held, method: &Method, path: &str, last: &str, query: &str, body: &Bytes) -> Response {
        let location = [("location", format!("/v2/{path}"))];
        match *method {
            Method::POST => {
                held.upload.clear();
                (StatusCode::ACCEPTED, [("location", format!("/v2/{path}one"))]).into_response()
            }
            Method::PATCH => {
                held.upload.extend_from_slice(body);
                (StatusCode::ACCEPTED, location).into_response()
            }
            Method::PUT => {
                held.upload.extend_from_slice(body);
                let upload = std::mem::take(&mut held.upload);
                let named = query.replace("digest=", "").replace("%3A", ":");
                if named != digest(&upload) {
                    return StatusCode::BAD_REQUEST.into_response();
                }
                held.blobs.insert(named, upload);
                (StatusCode::CREATED, location).into_response()
            }
            _ => {
                held.blobs.get(last).cloned().map_or(StatusCode::NOT_FOUND.into_response(), |blob| blob.into_response())
            }
        }
    }

    /// An author: a node that does not run, a folder, a key, and what was pushed from there to `team/talk:1.0.0`.
    struct Author {
        node: TestNode,
        dir: TempDir,
        key: String,
    }

    impl Author {
        fn new(registry: &Registry) -> Author {
            let (node, dir) = (TestNode::prepared(Spec::alone("author")), TempDir::new().expect("a folder"));
            let secret = dir.path().join("key").display().to_string();
            let key = node.cli(&["plugin", "keygen", &secret]).expect(0).stdout.trim().to_owned();
            put(dir.path(), "talk.wasm", &versioned("talk", "1.0.0", 'A'));
            let author = Author { node, dir, key };
            author.node.cli(&["plugin", "sign", &author.file(), "--key", &secret]).expect(0);
            author.push(&registry.reference("team/talk:1.0.0")).expect(0);
            author
        }

        fn file(&self) -> String {
            self.dir.path().join("talk.wasm").display().to_string()
        }

        fn push(&self, reference: &str) -> crate::harness::Out {
            self.node.cli(&["plugin", "push", &self.file(), reference, "-o", "json"])
        }

        /// Pulls into a folder of its own, and says what is there afterwards.
        fn pull(&self, reference: &str, more: &[&str]) -> (crate::harness::Out, Vec<String>) {
            let into = TempDir::new().expect("a folder");
            let folder = into.path().display().to_string();
            let out = self.node.cli(&[&["plugin", "pull", reference, "--into", &folder], more].concat());
            (out, names(into.path()))
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder is there");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_plugin_goes_to_a_registry_and_comes_back_with_its_signature() {
        let registry = Registry::start();
        let author = Author::new(&registry);
        // As other tools know it: one layer, which is the file.
        let manifest = registry.manifest("team/talk/1.0.0");
        assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");
        assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
        assert_eq!(manifest["layers"][0]["digest"], digest(&versioned("talk", "1.0.0", 'A')));
        assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "1.0.0");

        // A node that trusts the author alone.
        let bench = Bench::new("pulls");
        bench.put("akita-plugins.toml", format!("trust = [\"{}\"]\n", author.key).as_bytes());
        let into = bench.dir.path().display().to_string();
        let pull = |reference: &str, more: &[&str]| {
            bench.node.cli(&[&["plugin", "pull", reference, "--into", &into, "-o", "json"], more].concat())
        };
        let reference = registry.reference("team/talk:1.0.0");
        let pulled = pull(&reference, &["--key", &author.key]).expect(0).json();
        assert_eq!((&pulled["plugin"], &pulled["version"]), (&json!("talk"), &json!("1.0.0")));
        assert_eq!(pulled["signed_by"], author.key.as_str());
        let ready = bench.wait_for("talk-1.0.0.wasm", "ready");
        assert_eq!((&ready["signed_by"], &ready["hash"]), (&json!(author.key), &pulled["hash"]));
        assert_eq!(ask(&bench.node, "talk/run", ""), bytes("A"));

        // Again, by what it is: nothing changes. Another content of that version takes no place by itself.
        let fixed = registry.reference(&format!("team/talk@{}", text(&pulled["digest"])));
        assert_eq!(pull(&fixed, &[]).expect(0).json()["hash"], pulled["hash"]);
        put(author.dir.path(), "talk.wasm", &versioned("talk", "1.0.0", 'B'));
        let stale = author.push(&reference).expect(3);
        assert!(stale.stderr.contains("another content"), "{}", stale.stderr);
        fs::remove_file(author.dir.path().join("talk.wasm.sig")).expect("removed");
        let pushed = author.push(&reference).expect(0);
        assert_eq!(pushed.json()["signed_by"], Value::Null);
        let refused = pull(&reference, &[]).expect(3);
        assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
        assert_eq!(names(bench.dir.path()), ["akita-plugins.toml", "talk-1.0.0.wasm", "talk-1.0.0.wasm.sig"]);
        assert_eq!(pull(&fixed, &[]).expect(0).json()["digest"], pulled["digest"]);
        pull(&reference, &["--force"]).expect(0);
        assert_eq!(names(bench.dir.path()), ["akita-plugins.toml", "talk-1.0.0.wasm"]);
        bench.wait_for("talk-1.0.0.wasm", "untrusted");
    }

    #[test]
    fn nothing_that_a_registry_says_is_believed() {
        let registry = Registry::start();
        let author = Author::new(&registry);
        let component = versioned("talk", "1.0.0", 'A');
        let (place, reference) = ("team/lie/1.0.0", registry.reference("team/lie:1.0.0"));
        let refused = |code: i32, what: &str, more: &[&str]| {
            let (out, left) = author.pull(&reference, more);
            let out = out.expect(code);
            assert!(out.stderr.contains(what), "{what}: {}", out.stderr);
            assert!(left.is_empty(), "{what}: {left:?}");
        };
        // The signature is for other bytes, is garbage, is missing though it was asked for, is another's.
        let other = versioned("talk", "1.0.0", 'B');
        let layer = |manifest: &mut Value, blob: &[u8]| {
            manifest["layers"][0]["digest"] = json!(registry.keep(blob));
            manifest["layers"][0]["size"] = json!(blob.len());
        };
        registry.lie(place, |manifest| layer(manifest, &other));
        refused(3, "another content", &[]);
        registry.lie(place, |manifest| manifest["annotations"]["akita.plugin.signature"] = json!("x".repeat(100_000)));
        refused(3, "what came as its signature is none", &[]);
        registry.lie(place, |manifest| drop(manifest.as_object_mut().expect("an object").remove("annotations")));
        refused(3, "it is not signed", &["--key", &author.key]);
        registry.lie(place, |_| {});
        let stranger = author.node.cli(&["plugin", "keygen", "stranger.key"]).expect(0).stdout.trim().to_owned();
        refused(3, "not by a key that was named", &["--key", &stranger]);

        // No component, though its digest holds; several; none of our kind.
        registry.lie(place, |manifest| {
            layer(manifest, b"hello");
            drop(manifest.as_object_mut().expect("an object").remove("annotations"));
        });
        refused(3, "is not taken", &[]);
        registry.lie(place, |manifest| manifest["layers"] = json!([manifest["layers"][0], manifest["layers"][0]]));
        refused(5, "it has 2 layers", &[]);
        registry.lie(place, |manifest| manifest["layers"][0]["mediaType"] = json!("application/tar"));
        refused(5, "application/tar", &[]);

        // More than was announced, less, or far too much.
        registry.lie(place, |manifest| manifest["layers"][0]["size"] = json!(component.len() - 1));
        refused(5, "more than the", &[]);
        registry.lie(place, |manifest| manifest["layers"][0]["size"] = json!(component.len() + 1));
        refused(5, "says that it has", &[]);
        for huge in [json!(1_u64 << 40), json!(-1)] {
            registry.lie(place, |manifest| manifest["layers"][0]["size"] = huge);
            refused(5, "at most 64 MiB", &[]);
        }
        // Other bytes under a digest, and no manifest at all.
        registry.lie(place, |_| {});
        registry.held().blobs.insert(digest(&component), other);
        refused(5, "igest", &[]);
        registry.held().manifests.insert(place.to_owned(), b"[]".to_vec());
        refused(5, &reference, &[]);

        let (out, _) = author.pull(&registry.reference("team/talk:9.9.9"), &[]);
        assert!(out.expect(5).stderr.contains("there is no"));
        let nobody = crate::prepare::free_address();
        let (out, _) = author.pull(&format!("{nobody}/team/talk"), &[]);
        assert!(out.expect(4).stderr.contains("cannot be reached"));
        author.pull("Not A Reference", &[]).0.expect(2);
        let (out, _) = author.pull(&registry.reference("team/talk:1.0.0"), &["--key", "abc"]);
        assert!(out.expect(2).stderr.contains("is no public key"));
        let fixed = registry.reference(&format!("team/talk@{}", digest(b"x")));
        assert!(author.push(&fixed).expect(2).stderr.contains("give a tag"));
        put(author.dir.path(), "talk.wasm", b"hello");
        assert!(author.push(&reference).expect(3).stderr.contains("is not pushed"));
    }

    #[test]
    fn a_registry_that_asks_who_is_there_is_told_what_docker_login_kept() {
        let registry = Registry::start();
        let author = Author::new(&registry);
        registry.held().closed = true;
        let reference = registry.reference("team/talk:2.0.0");
        let refused = author.push(&reference).expect(5);
        assert!(refused.stderr.contains("docker login 127.0.0.1"), "{}", refused.stderr);
        assert!(author.pull(&registry.reference("team/talk:1.0.0"), &[]).0.expect(5).stderr.contains("docker login"));

        let config = author.node.dir().join(".docker");
        fs::create_dir_all(&config).expect("a folder");
        let login = json!({"auths": {registry.address.to_string(): {"auth": LOGIN}}});
        fs::write(config.join("config.json"), login.to_string()).expect("written");
        let pushed = author.push(&reference).expect(0);
        assert!(!pushed.stderr.contains("secret") && pushed.json()["signed_by"] == author.key.as_str());
        let (out, left) = author.pull(&reference, &["--key", &author.key]);
        out.expect(0);
        assert_eq!(left, ["talk-1.0.0.wasm", "talk-1.0.0.wasm.sig"]);
    }
}
