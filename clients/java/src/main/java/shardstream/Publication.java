package shardstream;

import java.util.concurrent.Executor;
import java.util.concurrent.Flow;

/** Pushes the messages of one stream to one subscriber, as many as it requests. */
final class Publication implements Flow.Subscription {
    private final Flow.Subscriber<? super Message> subscriber;
    private final Messages messages;
    private long demand;
    private boolean cancelled;

    /** What the subscriber did wrong; null when it did not. */
    private IllegalArgumentException fault;

    private Publication(Flow.Subscriber<? super Message> subscriber, Messages messages) {
        this.subscriber = subscriber;
        this.messages = messages;
    }

    static void begin(
            Flow.Subscriber<? super Message> subscriber, Messages messages, Executor executor) {
        Publication made = new Publication(subscriber, messages);
        subscriber.onSubscribe(made);
        try {
            executor.execute(made::run);
        } catch (RuntimeException refused) {
            messages.close();
            subscriber.onError(refused);
        }
    }

    @Override
    public synchronized void request(long count) {
        if (count <= 0) {
            fault = new IllegalArgumentException(count + " messages were requested");
            messages.close();
        } else {
            demand = Long.MAX_VALUE - demand < count ? Long.MAX_VALUE : demand + count;
        }
        notifyAll();
    }

    @Override
    public synchronized void cancel() {
        cancelled = true;
        messages.close();
        notifyAll();
    }

    private void run() {
        try (messages) {
            // The subscriber wants more: it is done with what it had.
            while (isWanted()) {
                Message message;
                try {
                    if (!messages.hasNext()) {
                        break;
                    }
                    message = messages.next();
                } catch (RuntimeException failed) {
                    end(failed);
                    return;
                }
                if (!isCancelled()) {
                    subscriber.onNext(message);
                }
            }
            end(fault);
        }
    }

    /** Says how it ended, to whom has not cancelled. */
    private void end(RuntimeException failed) {
        if (isCancelled()) {
            return;
        } else if (failed == null) {
            subscriber.onComplete();
        } else {
            subscriber.onError(failed);
        }
    }

    private synchronized boolean isCancelled() {
        return cancelled;
    }

    /** Waits for demand, and takes one of it; false when there will be none. */
    private synchronized boolean isWanted() {
        while (demand == 0 && !cancelled && fault == null) {
            try {
                wait();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                return true; // The stream ends by it.
            }
        }
        if (demand != Long.MAX_VALUE) {
            demand--;
        }
        return !cancelled && fault == null;
    }
}
