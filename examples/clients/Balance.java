// Sends an order line and reads the buyer's balance with an API key; needs the JDK (17) only.
// REBATE_URL=… REBATE_TOKEN=… java Balance.java ORDER.json USER_ID

import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;

public class Balance {
  static final int ATTEMPTS_MAX = 5;
  static final HttpClient CLIENT = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();

  /** An answer with application/problem+json: its code is stable, errors names each bad member. */
  static class ProblemException extends Exception {
    ProblemException(HttpResponse<String> answer) {
      super(answer.statusCode() + " " + answer.body());
    }
  }

  static HttpRequest.Builder to(String path) {
    return HttpRequest.newBuilder(URI.create(System.getenv("REBATE_URL") + path))
        .timeout(Duration.ofSeconds(10))
        .header("Authorization", "Bearer " + System.getenv("REBATE_TOKEN"));
  }

  /** Returns the body of an answer; a 503 is tried again after the time that it names. */
  static String ask(HttpRequest request) throws Exception {
    for (int attempt = 1; ; attempt++) {
      var answer = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
      if (answer.statusCode() / 100 == 2) return answer.body();
      if (answer.statusCode() != 503 || attempt == ATTEMPTS_MAX) throw new ProblemException(answer);
      Thread.sleep(1000 * answer.headers().firstValueAsLong("Retry-After").orElse(1));
    }
  }

  public static void main(String[] arguments) throws Exception {
    try {
      // Repeating does no harm: the same fact counts once. wait_ms: the balance below holds the order.
      ask(to("/v1/orders?wait_ms=2000")
          .header("Content-Type", "application/json")
          .POST(HttpRequest.BodyPublishers.ofFile(Path.of(arguments[0])))
          .build());
      String userId = URLEncoder.encode(arguments[1], StandardCharsets.UTF_8);
      System.out.println(ask(to("/v1/users/" + userId + "/balance").build())); // amounts in fen
    } catch (ProblemException problem) {
      System.err.println(problem.getMessage());
      System.exit(1);
    }
  }
}
