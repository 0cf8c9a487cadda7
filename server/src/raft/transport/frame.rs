//! gRPC's framing of one message, and its answers (compat/spec/jraft.md §3).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::{Body, Frame};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::MESSAGE_BYTES_MAX;

/// One byte of flags, four of length.
const PREFIX_BYTES: usize = 5;
/// What `grpc-message` cannot have as it is.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// gRPC's status codes, as far as they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
}

/// A call that failed before there was an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure(pub(super) Code, pub(super) String);

/// The message in a request's body.
pub(super) fn message(body: &Bytes) -> Result<Bytes, Failure> {
    let Some((prefix, message)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(Failure(Code::Internal, "Half-closed without a request".to_owned()));
    };
    let [flags, length @ ..] = *prefix;
    if flags != 0 {
        return Err(Failure(Code::Unimplemented, "compressed messages are not supported".to_owned()));
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > MESSAGE_BYTES_MAX {
        let text = format!("gRPC message exceeds maximum size {MESSAGE_BYTES_MAX}: {length}");
        return Err(Failure(Code::ResourceExhausted, text));
    }
    if length != message.len() {
        return Err(Failure(Code::Internal, format!("a message of {length} bytes has {}", message.len())));
    }
    Ok(body.slice(PREFIX_BYTES..))
}

/// A body of one message and the trailers, or of nothing.
#[derive(Debug)]
pub(super) struct Answer {
    frames: std::collections::VecDeque<Frame<Bytes>>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(self.frames.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }
}

fn response(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Response<Answer> {
    let mut response = Response::new(Answer { frames: frames.into_iter().collect() });
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The answer with this message.
pub(super) fn answer(message: &impl prost::Message) -> Response<Answer> {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // It can only fail for want of room, and the buffer grows.
    let _ = message.encode(&mut bytes);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    response([Frame::data(bytes.freeze()), Frame::trailers(trailers)])
}

/// The answer without a message.
pub(super) fn failure(Failure(code, text): &Failure) -> Response<Answer> {
    let mut response = response([]);
    let text = utf8_percent_encode(text, ENCODED).to_string();
    response.headers_mut().insert("grpc-status", HeaderValue::from(*code as u16));
    if let Ok(text) = HeaderValue::from_str(&text) {
        response.headers_mut().insert("grpc-message", text);
    }
    response
}
