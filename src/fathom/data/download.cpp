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
#include "fathom/data/transfer.h"

extern char** environ;

namespace fathom {
namespace {

size_t receive(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  try {
    transfer.take({data, bytes});
  } catch (...) {
    transfer.thrown = std::current_exception();
    return 0;  // ends the transfer
  }
  transfer.taken += bytes;
  transfer.too_long = transfer.taken > transfer.options.max_bytes;
  return transfer.too_long ? 0 : bytes;
}

size_t receive_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  try {
    if (transfer.take_header) transfer.take_header(trim({data, size * count}));
  } catch (...) {
    transfer.thrown = std::current_exception();
    return 0;
  }
  return size * count;
}

// libcurl calls this at least once a second. The stall is timed here because its own low-speed
// limit works on an average over five seconds and sees a silence that much later.
int report(void* user, curl_off_t curl_total, curl_off_t curl_done, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  const auto done = static_cast<uint64_t>(curl_done);
  if (done != transfer.received) transfer.moved = Transfer::Clock::now();
  transfer.received = done;
  transfer.stalled =
      Transfer::Clock::now() - transfer.moved > std::chrono::seconds(transfer.options.timeout);
  if (transfer.stalled) return 1;  // ends the transfer
  try {
    const auto total = static_cast<uint64_t>(curl_total);
    if (transfer.options.progress)
      transfer.options.progress(transfer.before + done, total > 0 ? transfer.before + total : 0);
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
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, receive_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
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

long perform(Transfer& transfer, const std::vector<std::string>& headers, const std::string& hint) {
  static const CurlLibrary library;
  const DownloadOptions& options = transfer.options;
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  if (!curl) fail("cannot start libcurl");
  std::array<char, CURL_ERROR_SIZE> reason{};
  set_options(curl.get(), transfer, reason.data());
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> lines(nullptr, &curl_slist_free_all);
  for (const std::string& header : headers)
    lines.reset(curl_slist_append(lines.release(), header.c_str()));
  if (lines) curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, lines.get());
  const CURLcode code = curl_easy_perform(curl.get());

  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  const std::string what = "cannot download " + options.url;
  if (transfer.too_long)
    fail(fmt::format("{}: it is longer than the expected {} bytes", what,
                     with_commas(static_cast<int64_t>(transfer.most))),
         hint);
  if (transfer.stalled || code == CURLE_OPERATION_TIMEDOUT)
    fail(fmt::format("{}: the server was silent for {} seconds", what, options.timeout), hint);
  if (code != CURLE_OK)
    fail(fmt::format("{}: {}", what,
                     without_stop(reason[0] ? reason.data() : curl_easy_strerror(code))),
         hint);
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  return status;
}

std::string download(const DownloadOptions& options, const std::string& hint) {
  std::string body;
  Transfer transfer{options};
  transfer.take = [&](std::string_view bytes) { body.append(bytes); };
  const long status = perform(transfer, {}, hint);
  if (status != 200)
    fail(fmt::format("cannot download {}: the server answered {}", options.url, status), hint);
  return body;
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
