//! tmp
use akita_sandbox::*;
fn rss() -> String { std::fs::read_to_string("/proc/self/status").unwrap().lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("RssAnon") || l.starts_with("RssFile")).collect::<Vec<_>>().join(" ") }
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    println!("start {}", rss());
    let sandbox = Sandbox::new(SandboxConfig { slots: 4, cache_dir: dir.into(), ..Default::default() }).unwrap();
    println!("new {}", rss());
    let cat = Catalog::load_dir(&sandbox, std::path::Path::new("plugins"), |s| if let LoadStep::Loaded(_, p) = s { println!("{} {} {}", p.name(), p.from_cache(), rss()) }).unwrap();
    println!("{} loaded {}", cat.plugins().len(), rss());
}
