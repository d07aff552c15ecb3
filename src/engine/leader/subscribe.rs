//! The leader's part of subscriptions: which relation has a feed, and when one ends early.

use std::sync::Arc;

use tokio::sync::mpsc;
use weir_common::error::{Error, Result};
use weir_common::ids::{RelationId, StreamId};

use crate::feed::{Feed, Seat};
use crate::lane::{LaneMessage, PeekReply};
use crate::leader::Leader;
use crate::leader::epoch::InFlight;
use crate::status::SubscriptionStatus;

impl Leader {
    /// Seats a subscriber and sends it down the lane, so that the rows that it is shown and the first change fit. A relation that
    /// was dropped: the reply channel closes, and the subscriber says so.
    pub(super) fn subscribe(&mut self, stream: StreamId, reply: mpsc::UnboundedSender<Result<PeekReply>>) -> Option<Seat> {
        if let Some(error) = self.failure(stream).or_else(|| self.not_kept(stream)) {
            // A subscriber that has gone away does not want its answer.
            let _ = reply.send(Err(error));
            return None;
        }
        if !self.exists(stream) {
            return None;
        }
        let seated = self.feeds.get(&stream).and_then(|feed| Some((feed.clone(), feed.seat()?)));
        let (feed, seat) = match seated {
            Some(seated) => seated,
            None => {
                let feed = Arc::new(Feed::new(self.lane.workers(), self.feed_limits, self.feed_counters.clone()));
                let seat = feed.seat()?;
                self.feeds.insert(stream, feed.clone());
                (feed, seat)
            }
        };
        self.lane.send(LaneMessage::Subscribe { stream, feed, reply });
        Some(seat)
    }

    /// Ends the feeds of views that have stopped computing: what they would say from now on is not true.
    pub(super) fn end_failed_feeds(&mut self) {
        if self.feeds.is_empty() || self.failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).is_empty() {
            return;
        }
        let failed: Vec<_> = self.feeds.keys().filter_map(|stream| Some((*stream, self.failure(*stream)?))).collect();
        for (stream, error) in failed {
            if let Some(feed) = self.feeds.remove(&stream) {
                feed.end(error);
            }
        }
    }

    /// Every subscription, and how far it is behind.
    pub(super) fn subscriptions(&self) -> Vec<SubscriptionStatus> {
        let of_feed = |(stream, feed): (&StreamId, &Arc<Feed>)| {
            let relation = u32::try_from(stream.0).map(RelationId).ok();
            let status = move |behind: crate::feed::Behind| {
                Some(SubscriptionStatus {
                    relation: relation?,
                    commit: behind.position,
                    commits_behind: behind.commits,
                    rows_behind: behind.rows,
                })
            };
            feed.readers().into_iter().filter_map(status).collect::<Vec<_>>()
        };
        self.feeds.iter().flat_map(of_feed).collect()
    }

    /// Whether somebody subscribes to a view, or to a query over it.
    pub(super) fn is_subscribed_to(&self, view: RelationId) -> bool {
        let stream = StreamId::from(view);
        self.feeds.get(&stream).is_some_and(|feed| !feed.readers().is_empty())
            || self.views.values().any(|other| other.temporary && other.inputs.contains(&stream))
    }

    /// Lets go of the changes of a relation that nobody subscribes to: a subscription begins at a later commit.
    pub(super) fn forget_feed(&mut self, stream: StreamId) {
        if let Some(feed) = self.feeds.remove(&stream) {
            feed.end(Error::internal("a feed was forgotten that is read"));
        }
    }

    /// Whether late rows are being admitted to results that never change, in an epoch that is not committed.
    pub(super) fn changes_what_is_final(&self, stream: StreamId) -> bool {
        let of_flight = |flight: &InFlight| flight.admission.as_ref().is_some_and(|of| of.is_final && stream == of.view.into());
        self.open.iter().any(of_flight)
    }

    /// Whether nothing of a view is logged or kept: it is there for one subscription.
    pub(super) fn is_temporary(&self, view: RelationId) -> bool {
        self.views.get(&view).is_some_and(|view| view.temporary)
    }

    /// Temporary views that read any of these relations: they go before them.
    pub(super) fn temporary_readers(&self, relations: &[RelationId]) -> Vec<RelationId> {
        let of_late = relations.iter().filter_map(|relation| self.views.get(relation)?.late);
        let gone: Vec<RelationId> = relations.iter().copied().chain(of_late).collect();
        let reads = |view: &crate::leader::View| {
            gone.iter().any(|relation| view.inputs.contains(&StreamId::from(*relation)) || view.readers.contains_key(relation))
        };
        let temporary = self.views.iter().filter(|(id, view)| view.temporary && !relations.contains(id) && reads(view));
        temporary.map(|(id, _)| *id).collect()
    }
}
