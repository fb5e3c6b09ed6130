//! A gRPC service with one method, its server behind a layer, and its client. A build script would write most of it.

use std::{convert::Infallible, future, net::SocketAddr, task::Context, task::Poll};

use http::uri::PathAndQuery;
use tidegate::tower::LimitLayer;
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{
    Request, Response, Status,
    body::Body,
    client,
    codegen::{BoxFuture, Service},
    metadata::AsciiMetadataValue,
    server::{self, NamedService},
    transport::{self, Channel, Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

const HELLO: PathAndQuery = PathAndQuery::from_static("/tidegate.Greeter/Hello");

/// A text, as request and response.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Text {
    /// The text.
    #[prost(string, tag = "1")]
    pub text: String,
}

#[derive(Clone, Debug)]
struct Greeter;

impl NamedService for Greeter {
    const NAME: &'static str = "tidegate.Greeter";
}

async fn greet(name: Request<Text>) -> Result<Response<Text>, Status> {
    Ok(Response::new(Text { text: format!("hello {}", name.into_inner().text) }))
}

impl Service<http::Request<Body>> for Greeter {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != HELLO.path() {
            return Box::pin(future::ready(Ok(Status::unimplemented("only Hello").into_http())));
        }
        let mut grpc = server::Grpc::new(ProstCodec::default());
        Box::pin(async move { Ok(grpc.unary(tower::service_fn(greet), request).await) })
    }
}

/// What stops a server when it is dropped, and the server.
pub type Running = (oneshot::Sender<()>, JoinHandle<Result<(), transport::Error>>);

/// A server on loopback, and its address.
///
/// # Errors
/// If there is no port.
pub fn serve(layer: LimitLayer<Body>) -> std::io::Result<(SocketAddr, Running)> {
    let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?;
    let address = incoming.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let stopped = async { stopped.await.unwrap_or_default() };
    let router = Server::builder().layer(layer).add_service(Greeter);
    Ok((address, (stop, tokio::spawn(router.serve_with_incoming_shutdown(incoming, stopped)))))
}

/// A call of the method by a user.
///
/// # Errors
/// The status, if it is not `OK`.
pub async fn hello(channel: &Channel, user: &'static str) -> Result<String, Status> {
    let mut grpc = client::Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(Text { text: user.to_owned() });
    request.metadata_mut().insert("user", AsciiMetadataValue::from_static(user));
    let response: Response<Text> = grpc.unary(request, HELLO, ProstCodec::default()).await?;
    Ok(response.into_inner().text)
}
