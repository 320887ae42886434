/**
 * A client for shardstream, which reads Amazon DynamoDB Streams once and serves the records over
 * gRPC.
 *
 * <pre>{@code
 * try (var client = Client.connect("localhost:50051");
 *         var messages = client.subscribe("orders").store(store).open()) {
 *     for (Message message : messages) {
 *         for (StreamRecord record : message) {
 *             System.out.println(record.shardId() + " " + record.type() + " " + record.key());
 *         }
 *     }
 * }
 * }</pre>
 *
 * <p>Subscriptions resume by themselves and give nothing twice while the program runs. Delivery is
 * at least once: a program that crashed gets again what it was not done with.
 */
package shardstream;
