//! `/v1/embeddings` at upstreams with a form of their own: as many calls as the texts take, one admission, one event,
//! one list.

use super::super::forward::Patience;
use super::super::refuse::GatewayError;
use super::super::walk::Serving;
use super::several::{Asker, Bill, Failed, Sum};
use super::whole::Made;
use crate::wire::chat;
use crate::wire::embeddings::{self, Format};
use bytes::Bytes;
use pingora::proxy::Session;
use tokio::time::Instant;

/// Numbers in all vectors of one answer: 2048 vectors of the longest kind, 32 MiB.
const MOST_NUMBERS: usize = 8 * 1024 * 1024;

/// Texts on their way to become vectors.
pub(in crate::gateway) struct Embeddings {
    pub(super) format: Format,
    /// One call each.
    pub(super) bodies: Vec<Bytes>,
    pub(super) texts: usize,
    /// The form of the upstream's errors.
    pub(super) errors: chat::Format,
    /// The model as the client named it.
    pub(super) model: String,
    pub(super) base64: bool,
    pub(in crate::gateway) user: Option<String>,
}

/// Asks for all vectors. What has come of it is not booked yet.
pub(in crate::gateway) async fn ask(
    serving: &Serving<'_>,
    asked: &Embeddings,
    session: &mut Session,
    patience: Patience,
) -> Made {
    let (g, arrival, planned) = (serving.g, serving.arrival, &serving.planned);
    let started = Instant::now();
    let made = |outcome, bill| Made {
        outcome,
        errors: asked.errors,
        client: (chat::Format::OpenAiChat, serving.face()),
        bill,
        waited: started.elapsed(),
    };
    let Some(head) = &serving.client else {
        return made(Err(Failed::Gateway(GatewayError::Upstream)), Bill::default());
    };
    let asker = Asker {
        g,
        arrival,
        provider: &planned.provider,
        endpoint: &planned.endpoint,
        call: &planned.call,
        setting: &planned.setting,
        attempts: &serving.attempts,
        head,
        patience,
    };
    let Sum { outcome, bill } = asker.ask_all(&asked.bodies, session).await;
    let answer = match outcome {
        Ok(bodies) => answer(asked, &bodies, bill.reading.usage.prompt_tokens()),
        Err(failed) => Err(failed),
    };
    made(answer, bill)
}

/// The list, when every call has answered with a vector for each of its texts.
fn answer(asked: &Embeddings, bodies: &[Bytes], prompt_tokens: u64) -> Result<Bytes, Failed> {
    let unreadable = || Failed::Gateway(GatewayError::Upstream);
    let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(asked.texts);
    let mut numbers = 0_usize;
    for body in bodies {
        let some = embeddings::read_vectors(asked.format, body).map_err(|_| unreadable())?;
        numbers = some.iter().fold(numbers, |sum, vector| sum.saturating_add(vector.len()));
        if numbers > MOST_NUMBERS {
            return Err(unreadable());
        }
        vectors.extend(some);
    }
    if vectors.len() != asked.texts {
        return Err(unreadable());
    }
    Ok(embeddings::write_answer(&asked.model, &vectors, prompt_tokens, asked.base64).into())
}
