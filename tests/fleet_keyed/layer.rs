//! Policies on fleets: two servers that share the limits of their users.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response, StatusCode, request::Parts};
use tidegate::{
    Fleet, FleetStore, KeyedFleet, Quota,
    tower::{LimitLayer, Policy},
};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{fleets::LONG, redis_server::RedisServer};

fn get(user: Option<&str>) -> Request<String> {
    let request = Request::get("/");
    let request = if let Some(user) = user { request.header("x-user", user) } else { request };
    request.body(String::new()).unwrap()
}

fn user(request: &Parts) -> Option<String> {
    Some(request.headers.get("x-user")?.to_str().ok()?.to_owned())
}

async fn serve(
    redis: &RedisServer,
    all: &Fleet,
) -> impl Service<Request<String>, Response = Response<String>, Error = Infallible> + Clone + use<> {
    let builder = Fleet::builder("users", Quota::per_hour(10).with_burst(10)).call_timeout(LONG);
    let users: KeyedFleet<String> = builder.join_keyed(redis.address()).await.unwrap();
    let layer = LimitLayer::<String>::new()
        .policy(Policy::keyed_fleet("user", &users, user))
        .policy(Policy::fleet("all", all))
        .wait_up_to(Duration::from_secs(10));
    // The layer alone holds the fleets from here on.
    layer.layer(service_fn(|_: Request<String>| async { Ok(Response::new(String::new())) }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_share_the_limits_of_their_users() {
    let Some(redis) = RedisServer::start() else { return };
    let server = FleetStore::new(&redis.address()).unwrap();
    let builder = Fleet::builder("all", Quota::per_hour(1000).with_burst(100)).call_timeout(LONG);
    let all = builder.join(&server).await.unwrap();
    let servers = [serve(&redis, &all).await, serve(&redis, &all).await];
    drop(all);
    let mut admitted = [0, 0];
    for i in 0..24 {
        let name = i % 2;
        let mut service = servers[i / 2 % 2].clone();
        let request = get(Some(["ada", "grace"][name]));
        let response = service.ready().await.unwrap().call(request).await.unwrap();
        match response.status() {
            StatusCode::OK => admitted[name] += 1,
            refused => assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS),
        }
    }
    // One is set aside. One may be leased by a server whose user does not come again.
    assert!(admitted.iter().all(|count| (8..=9).contains(count)), "{admitted:?} of nine each");
    let response = servers[0].clone().oneshot(get(None)).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}
