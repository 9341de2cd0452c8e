//! A function that answers at once: what a function on `lambda_runtime` costs before it does anything.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let answer = |_: LambdaEvent<Value>| async { Ok::<_, Error>(Value::Null) };
    lambda_runtime::run(service_fn(answer)).await
}
