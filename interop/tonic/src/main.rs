//! A gRPC server that admits five calls, and a client that makes eight.

use tidegate::{
    Quota, RateLimiter,
    tower::{LimitLayer, Policy},
};
use tidegate_tonic::{hello, serve};
use tonic::{Code, transport::Endpoint};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let all = RateLimiter::new(Quota::per_hour(5));
    let (address, (stop, server)) = serve(LimitLayer::new().policy(Policy::global("all", &all)))?;
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut codes = Vec::new();
    for _ in 0..8 {
        let answer = hello(&channel, "ada").await;
        println!("{answer:?}");
        codes.push(answer.map_or_else(|status| status.code(), |_| Code::Ok));
    }
    assert_eq!(codes, [[Code::Ok; 5].as_slice(), &[Code::ResourceExhausted; 3]].concat());
    drop((channel, stop));
    Ok(server.await??)
}
