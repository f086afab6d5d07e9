#include "fathom/data/download.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <memory>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

extern char** environ;

namespace fathom {
namespace {

using Clock = std::chrono::steady_clock;

struct Transfer {
  explicit Transfer(const DownloadOptions& o) : options(o) {}
  const DownloadOptions& options;
  std::string body;
  bool too_long = false;
  bool stalled = false;
  uint64_t received = 0;  // at `moved`, the last time that anything arrived
  Clock::time_point moved = Clock::now();
  std::exception_ptr thrown;  // by the progress function: it must not unwind through libcurl
};

size_t receive(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  if (bytes > transfer.options.max_bytes - transfer.body.size()) {
    transfer.too_long = true;
    return 0;  // ends the transfer
  }
  transfer.body.append(data, bytes);
  return bytes;
}

// libcurl calls this at least once a second. The stall is timed here because its own low-speed
// limit works on an average over five seconds and sees a silence that much later.
int report(void* user, curl_off_t curl_total, curl_off_t curl_done, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  const auto done = static_cast<uint64_t>(curl_done);
  if (done != transfer.received) transfer.moved = Clock::now();
  transfer.received = done;
  transfer.stalled = Clock::now() - transfer.moved > std::chrono::seconds(transfer.options.timeout);
  if (transfer.stalled) return 1;  // ends the transfer
  try {
    if (transfer.options.progress)
      transfer.options.progress(done, static_cast<uint64_t>(curl_total));
    return 0;
  } catch (...) {
    transfer.thrown = std::current_exception();
    return 1;
  }
}

struct CurlLibrary {
  CurlLibrary() { curl_global_init(CURL_GLOBAL_DEFAULT); }
  ~CurlLibrary() { curl_global_cleanup(); }
};

void set_options(CURL* curl, Transfer& transfer, char* reason) {
  const DownloadOptions& options = transfer.options;
  curl_easy_setopt(curl, CURLOPT_URL, options.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "fathom");
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.timeout));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, report);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
}

// Closes what it holds.
struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      fail(fmt::format("cannot open a pipe: {}", std::strerror(errno)));
    read_end = ends[0];
    write_end = ends[1];
  }
  ~Pipe() {
    ::close(read_end);
    close_write_end();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_write_end() {
    if (write_end >= 0) ::close(write_end);
    write_end = -1;
  }
  std::string read_all() const {
    std::string text;
    std::array<char, 1 << 16> buffer;
    for (;;) {
      const ssize_t got = ::read(read_end, buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return text;
      text.append(buffer.data(), static_cast<size_t>(got));
    }
  }
};

// libcurl's word as the end of a sentence of ours; a server may have a say in it.
std::string without_stop(std::string_view reason) {
  while (!reason.empty() && (reason.back() == '.' || reason.back() == '\n'))
    reason.remove_suffix(1);
  return escaped(reason);
}

}  // namespace

std::string download(const DownloadOptions& options, const std::string& hint) {
  static const CurlLibrary library;
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  if (!curl) fail("cannot start libcurl");
  Transfer transfer{options};
  std::array<char, CURL_ERROR_SIZE> reason{};
  set_options(curl.get(), transfer, reason.data());
  const CURLcode code = curl_easy_perform(curl.get());

  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  const std::string what = "cannot download " + options.url;
  if (transfer.too_long)
    fail(fmt::format("{}: it is longer than the expected {} bytes", what,
                     with_commas(static_cast<int64_t>(options.max_bytes))),
         hint);
  if (transfer.stalled || code == CURLE_OPERATION_TIMEDOUT)
    fail(fmt::format("{}: the server was silent for {} seconds", what, options.timeout), hint);
  if (code != CURLE_OK)
    fail(fmt::format("{}: {}", what,
                     without_stop(reason[0] ? reason.data() : curl_easy_strerror(code))),
         hint);
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) fail(fmt::format("{}: the server answered {}", what, status), hint);
  return std::move(transfer.body);
}

std::string program_output(const std::vector<std::string>& program, const std::string& hint) {
  std::vector<char*> arguments;
  for (const std::string& argument : program)
    arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);

  Pipe pipe;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe.write_end, STDOUT_FILENO);
  pid_t child = 0;
  const int error =
      ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0)
    fail(fmt::format("cannot start the program `{}`: {}", program[0], std::strerror(error)), hint);

  pipe.close_write_end();  // else the read below would never see the end
  std::string text = pipe.read_all();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    fail(fmt::format("`{}` failed with {} {}", join(program, " "),
                     WIFEXITED(status) ? "exit code" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status)),
         hint);
  return text;
}

std::string sha256_hex(std::string_view text, const std::function<void(uint64_t)>& progress) {
  constexpr size_t kPieceBytes = 16 << 20;
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  bool good = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (size_t at = 0; good && at < text.size(); at += kPieceBytes) {
    const std::string_view piece = text.substr(at, kPieceBytes);
    good = EVP_DigestUpdate(context.get(), piece.data(), piece.size()) == 1;
    if (progress) progress(at + piece.size());
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  if (!good || EVP_DigestFinal_ex(context.get(), digest.data(), &size) != 1)
    fail("OpenSSL cannot compute SHA-256");
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace fathom
