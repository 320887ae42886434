//! The server behind real sockets: connections, HTTP/2, response streams, the admin port.

mod accept;
mod admin;
mod connections;
mod protocols;
mod response_streams;
mod rotation;
mod spans;
mod tls;
mod tls_reload;
mod traces;
mod web;
