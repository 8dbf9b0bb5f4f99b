//! The metadata cluster: a member of our own, embedded, with a thread of its own.

use std::path::Path;
use std::thread::JoinHandle;

use filegrid_meta::config::Config;
use filegrid_meta::serve::Serving;
use tokio::sync::oneshot;

/// The way to the cluster. Nothing on the way of an upload waits for it.
pub struct Cluster {
    /// Dropped to stop.
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Cluster {
    /// Starts the member whose data is in `DATA/meta`. Does not wait for it.
    ///
    /// # Errors
    ///
    /// If no thread can be started.
    pub fn start(data: &Path) -> Result<Self, String> {
        let config = Config::embedded(data.join("meta"));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("metadata".to_owned());
        let thread = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = match runtime {
                Ok(runtime) => runtime.block_on(live(&config, stopped)),
                Err(error) => Err(format!("cannot start a runtime: {error}")),
            };
            if let Err(error) = ended {
                tracing::error!(error, "the metadata member has ended");
            }
        });
        let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { stop, thread })
    }

    /// Whether it still runs. It ends by itself only when it cannot go on.
    #[must_use]
    pub fn is_well(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Stops it.
    ///
    /// # Errors
    ///
    /// If it has died.
    pub fn stop(self) -> Result<(), String> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|_| "the metadata member has died".to_owned())
    }
}

async fn live(config: &Config, stopped: oneshot::Receiver<()>) -> Result<(), String> {
    let serving = Serving::start(config).await?;
    let member = serving.member().clone();
    let ended = tokio::select! {
        why = member.failed() => Err(why),
        _ = stopped => Ok(()),
    };
    drop(member);
    serving.stop().await;
    ended
}
