//! Asks for a game server and says where it is:
//! `cargo run -p operator-client --example allocate -- ENDPOINT DIAL CA TOKEN KEY NAMESPACE FLEET`, such as
//! `https://cranewing-allocation.cranewing-system.svc:8447 127.0.0.1:8447 ca.crt token match-4711 default arena` beside a port that is forwarded.
#![expect(clippy::print_stdout, reason = "what it says is its answer")]

use anyhow::Context as _;
use operator_client::{Allocation, Ask, Client, Settings};
use std::time::Duration;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [endpoint, dial, ca, token, key, namespace, fleet] = &arguments[..] else {
        anyhow::bail!("seven arguments are needed: ENDPOINT DIAL CA TOKEN KEY NAMESPACE FLEET");
    };
    let in_cluster = Settings::in_cluster("cranewing-system", ca, token);
    let settings = Settings { endpoint: endpoint.clone(), dial: Some(dial.clone()), ..in_cluster };
    let client = Client::new(settings).context("failed to make a client")?;
    let ask = Ask::new(key, namespace)
        .label("cranewing.dev/fleet", fleet)
        .wait(Duration::from_secs(2))
        .players([17]);
    match client.allocate(&ask).await.context("failed to get a server")? {
        Allocation::Given { server, tokens } => {
            let ports: Vec<String> =
                server.ports.iter().map(|port| format!("{}={}", port.name, port.port)).collect();
            let address = server.address.as_deref().unwrap_or("no address yet");
            println!("{} at {address} {}, {} token", server.name, ports.join(" "), tokens.len());
        }
        Allocation::Ended => println!("the session of {key} is over"),
        Allocation::Lost => println!("the server of {key} is gone"),
        Allocation::None => println!("no server is free"),
    }
    Ok(())
}
