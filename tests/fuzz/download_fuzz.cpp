// Answers of a web server, down to the last byte of the body. Every address leads back here, by the
// variables that name a proxy: a redirection must not reach the network.
#include "fathom/data/download.h"

#include "data/loopback_server.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {
namespace {

constexpr uint64_t kMaxBody = 20;

struct Web {
  testing::LoopbackServer server{""};

  Web() {
    const std::string proxy = server.url().substr(0, server.url().rfind('/'));
    for (const char* name : {"http_proxy", "https_proxy", "all_proxy"})
      ::setenv(name, proxy.c_str(), /*overwrite=*/1);
    ::unsetenv("no_proxy");
    ::unsetenv("NO_PROXY");
  }
};

}  // namespace

FATHOM_FUZZ(in) {
  static Web& web = *new Web;  // its thread ends with the process
  const bool sound = in.below(2) == 1;
  const std::string body = in.rest();
  web.server.set_answer(sound ? testing::LoopbackServer::ok(body) : body);
  DownloadOptions options;
  options.url = web.server.url();
  options.timeout = 2;
  options.max_bytes = kMaxBody;
  std::string got;
  const bool accepted = accepts(body.size(), [&] { got = download(options, "try a copy"); });
  require(got.size() <= kMaxBody, "no answer is longer than asked for");
  if (sound) require(accepted == (body.size() <= kMaxBody), "a sound answer is taken");
  if (sound && accepted) require(got == body, "the body comes as it was sent");
}

}  // namespace fathom::fuzzing
