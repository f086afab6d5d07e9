// Downloads that go on where they were interrupted.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/text.h"
#include "fathom/data/transfer.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"

namespace fs = std::filesystem;

namespace fathom {
namespace {

constexpr uint64_t kMaxNoteBytes = 1 << 16;

uint64_t size_of(const std::string& path) {
  std::error_code none;
  const uint64_t size = fs::file_size(path, none);
  return none ? 0 : size;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

[[noreturn]] void fail_too_long(const DownloadOptions& options, const std::string& has,
                                const std::string& hint) {
  throw TooLong(ErrorKind::kFailure,
                fmt::format("{} has {} bytes, max_bytes is {}", options.url, has,
                            with_commas(static_cast<int64_t>(options.max_bytes))),
                "a larger --max_bytes; " + hint);
}

// Held while a download goes on: two would append to the same bytes. Ends with the process.
class FolderLock {
 public:
  explicit FolderLock(const std::string& folder)
      : folder_(folder), fd_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (fd_ < 0) fail_system("open", folder, errno);
    // A file system that knows no locks goes without.
    if (::flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
    ::close(fd_);
    fail(fmt::format("another process is downloading into {}", folder),
         "let it come to its end, then type the same command again");
  }
  ~FolderLock() { ::close(fd_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  void sync() const {
    if (::fsync(fd_) != 0 && errno != EINVAL) fail_system("write", folder_, errno);
  }

 private:
  std::string folder_;
  int fd_;
};

// Of the last answer: a redirection has headers as well.
struct Answer {
  int status = 0;
  std::string etag, modified;
  uint64_t length = 0, total = 0;  // of the body, of the whole file; 0: it does not say
  std::optional<uint64_t> start;   // of the body in the file

  void take(std::string_view line) {
    if (line.substr(0, 5) == "HTTP/") {
      *this = {};
      const size_t space = line.find(' ');
      if (space != line.npos) number(line.substr(space + 1), status);
      return;
    }
    const size_t colon = line.find(':');
    if (colon == line.npos) return;
    const std::string name = lower(line.substr(0, colon));
    const std::string_view value = trim(line.substr(colon + 1));
    if (name == "etag" && value.substr(0, 2) != "W/") etag = value;  // a weak one is of no bytes
    if (name == "last-modified") modified = value;
    if (name == "content-length") number(value, length);
    if (name == "content-range" && value.substr(0, 6) == "bytes ") {
      uint64_t first = 0;
      if (number(value.substr(6), first)) start = first;
      const size_t slash = value.find('/');
      if (slash != value.npos) number(value.substr(slash + 1), total);
    }
  }
  std::string version() const { return etag.empty() ? modified : etag; }

 private:
  template <class Number>
  static bool number(std::string_view text, Number& out) {
    return std::from_chars(text.data(), text.data() + text.size(), out).ec == std::errc();
  }
};

class FileDownload {
 public:
  FileDownload(const DownloadOptions& options, const std::string& path, const std::string& hint)
      : options_(options), part_(path + ".part"), note_(path + ".part.json"), hint_(hint) {}

  // The whole file is in part() afterwards. False: the server has nothing behind what is there.
  bool fetch() {
    version_ = noted_version();
    before_ = version_.empty() ? 0 : size_of(part_);
    std::vector<std::string> headers;
    if (before_ > 0) headers = {fmt::format("Range: bytes={}-", before_), "If-Range: " + version_};
    Transfer transfer{options_};
    transfer.before = before_;
    transfer.most = UINT64_MAX;  // take() counts what is there already as well
    transfer.take_header = [&](std::string_view line) { answer_.take(line); };
    transfer.take = [&](std::string_view bytes) { take(bytes, transfer); };
    const long status = answered(transfer, headers);
    if (status == 416 && before_ > 0) return answer_.total == before_;  // then it is complete
    if (status != 200 && status != 206)
      fail(fmt::format("cannot download {}: the server answered {}", options_.url, status), hint_);
    if (!file_) open(transfer);  // an empty body
    close();
    if (whole_ > 0 && size_of(part_) != whole_)
      fail(fmt::format("cannot download {}: {} of {} bytes came", options_.url, size_of(part_),
                       whole_),
           kept_hint());
    return true;
  }
  void forget() {
    std::error_code none;
    fs::remove(part_, none);
    fs::remove(note_, none);
  }
  const std::string& part() const { return part_; }
  const std::string& note() const { return note_; }

 private:
  // Of the bytes that are there; empty: begin again.
  std::string noted_version() const {
    if (kind_of(note_) != PathKind::kFile || kind_of(part_) != PathKind::kFile) return "";
    try {
      const nlohmann::json note = parse_json(read_text_file(note_, kMaxNoteBytes), note_);
      const bool same = note.is_object() && note.value("url", nlohmann::json()) == options_.url &&
                        note.contains("version") && note["version"].is_string();
      return same && is_printable(note["version"].get_ref<const std::string&>())
                 ? note["version"].get<std::string>()
                 : "";
    } catch (const SystemError&) {
      throw;
    } catch (const Error&) {
      return "";
    }
  }

  std::string kept_hint() const {
    return "what has come is kept: the same command goes on behind it; " + hint_;
  }

  // What broke off after some bytes has another hint than what never came.
  long answered(Transfer& transfer, const std::vector<std::string>& headers) {
    try {
      return perform(transfer, headers, hint_);
    } catch (const TooLong&) {
      throw;
    } catch (const Error& error) {
      const bool some = file_ != nullptr || before_ > 0;
      file_.reset();
      if (!some) throw;
      fail(error.what(), kept_hint());
    }
  }

  void take(std::string_view bytes, Transfer& transfer) {
    if (answer_.status != 200 && answer_.status != 206) return;  // a page that says why not
    if (!file_) open(transfer);
    if (bytes.size() > options_.max_bytes - std::min(have_, options_.max_bytes))
      fail_too_long(
          options_,
          fmt::format("more than {}", with_commas(static_cast<int64_t>(options_.max_bytes))),
          kept_hint());
    have_ += bytes.size();
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size())
      fail_system("write", part_, errno);
  }

  // Once it is known whose bytes these are.
  void open(Transfer& transfer) {
    const bool goes_on = answer_.status == 206;
    if (goes_on && answer_.start != before_)
      fail(fmt::format("cannot download {}: the server sends other bytes than were asked for",
                       options_.url),
           hint_);
    if (!goes_on) transfer.before = 0;
    have_ = transfer.before;
    whole_ = goes_on ? answer_.total : answer_.length;
    if (whole_ > options_.max_bytes)
      fail_too_long(options_, with_commas(static_cast<int64_t>(whole_)), hint_);
    file_.reset(std::fopen(part_.c_str(), goes_on ? "ab" : "wb"));
    if (!file_) fail_system("write", part_, errno);
    if (goes_on) return;
    // Only once the old bytes are gone may the note speak of the new version.
    sync();
    write_file_durably(
        note_, as_bytes(json_text({{"url", options_.url}, {"version", answer_.version()}}) + "\n"));
  }
  void sync() {
    if (std::fflush(file_.get()) != 0 || ::fsync(::fileno(file_.get())) != 0)
      fail_system("write", part_, errno);
  }
  void close() {
    sync();
    FILE* file = file_.release();
    if (std::fclose(file) != 0) fail_system("write", part_, errno);
  }

  struct Close {
    void operator()(FILE* file) const { std::fclose(file); }
  };

  const DownloadOptions& options_;
  std::string part_, note_, hint_;
  std::string version_;
  uint64_t before_ = 0;
  uint64_t have_ = 0;   // bytes of part_ while it is written
  uint64_t whole_ = 0;  // bytes of the file; 0: the server does not say
  Answer answer_;
  std::unique_ptr<FILE, Close> file_;
};

}  // namespace

void download_file(const DownloadOptions& options, const std::string& path, uint64_t expected,
                   const std::string& sha256, const std::string& hint) {
  const auto is_there = [&] {
    if (kind_of(path) != PathKind::kFile) return false;
    if (const uint64_t size = size_of(path); size > options.max_bytes)
      fail_too_long(options, with_commas(static_cast<int64_t>(size)), hint);
    return true;
  };
  if (is_there()) return;
  const std::string folder = fs::path(path).parent_path().string();
  make_folders(folder);
  const FolderLock lock(folder);
  if (is_there()) return;  // another process was faster
  {
    FileDownload download(options, path, hint);
    if (!download.fetch()) {  // what is there is no beginning of what the server has
      download.forget();
      if (!FileDownload(options, path, hint).fetch())
        fail(fmt::format("cannot download {}: the server answered 416", options.url), hint);
    }
  }
  FileDownload done(options, path, hint);
  const auto refuse = [&](const std::string& why) {
    done.forget();
    fail(fmt::format("{} {}", options.url, why), hint);
  };
  const uint64_t size = size_of(done.part());
  if (size > options.max_bytes)
    fail_too_long(options, with_commas(static_cast<int64_t>(size)), hint);
  if (expected > 0 && size != expected)
    refuse(fmt::format("has {} bytes, {} were expected", size, expected));
  if (!sha256.empty()) {
    const MappedFile file(done.part());
    const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                                 file.bytes().size());
    const std::string is = file.while_whole([&] { return sha256_hex(bytes); });
    if (is != sha256) refuse(fmt::format("has the SHA-256 {}, not {}", is, sha256));
  }
  if (std::rename(done.part().c_str(), path.c_str()) != 0) fail_system("write", path, errno);
  std::error_code none;
  fs::remove(done.note(), none);
  lock.sync();
}

}  // namespace fathom
