//! Is this machine fit for the configured layout? The same ids as `tuning/`.
