//! tmp
fn rss() -> String { std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("RssAnon")).collect::<Vec<_>>().join(" ") }
fn main() {
    let mode = std::env::args().nth(1).unwrap();
    let mut c = wasmtime::Config::new();
    c.epoch_interruption(true).wasm_memory64(false);
    if mode == "seq" || mode == "seqthread" { c.parallel_compilation(false); }
    let engine = wasmtime::Engine::new(&c).unwrap();
    println!("{mode} start {}", rss());
    for name in ["basics", "digest", "faulty", "image", "stats"] {
        let bytes = std::fs::read(format!("plugins/{name}.wasm")).unwrap();
        let e = engine.clone();
        match mode.as_str() {
            "seq" | "par" => { let v = e.precompile_component(&bytes).unwrap(); std::fs::write("/tmp/x", &v).unwrap(); }
            "seqthread" => { std::thread::spawn(move || { let v = e.precompile_component(&bytes).unwrap(); std::fs::write("/tmp/x", &v).unwrap(); }).join().unwrap(); }
            "pool" => { 
                let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
                pool.install(move || { let v = e.precompile_component(&bytes).unwrap(); std::fs::write("/tmp/x", &v).unwrap(); });
                drop(pool); std::thread::sleep(std::time::Duration::from_millis(20));
            }
            "exec" => {}
            _ => panic!()
        }
        println!("{name} {}", rss());
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    println!("end {}", rss());
}
