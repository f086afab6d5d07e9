// Texts from elsewhere: a URL, or the output of a program. Neither leaves anything behind on
// failure.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/base/error.h"

namespace fathom {

struct DownloadOptions {
  std::string url;         // http or https
  int64_t timeout = 10;    // seconds to connect, and seconds without a byte, before giving up
  uint64_t max_bytes = 0;  // a longer answer is refused
  std::function<void(uint64_t done, uint64_t total)> progress;  // total 0: unknown; may throw
};

// The body of a GET that answered 200. Follows up to 5 redirections. Throws Error that says why
// not, with `hint`.
std::string download(const DownloadOptions& options, const std::string& hint);

// The same into a file, for what is large. The bytes gather in `path`.part, with `path`.part.json
// beside it, which says of which version they are (ETag or Last-Modified); the next call goes on
// behind them, if the server still has that version, and begins again if not. The complete file
// gets its name once it is on the disk. A file of that name is taken as it is: `path` stands for
// one address. While it goes on the folder is locked; a second download into it is refused.
//
// Throws TooLong for more than max_bytes: before anything is fetched where the server says the
// length or the file is there, else at the first byte too many; what has come stays.
//
// `expected`: 0, or the file's length; `sha256`: empty, or its checksum. A file that has another is
// removed.
void download_file(const DownloadOptions& options, const std::string& path, uint64_t expected,
                   const std::string& sha256, const std::string& hint);

class TooLong : public Error {
 public:
  using Error::Error;
};

// What `program` (found in PATH, started without a shell) prints on its standard output. Throws
// Error when it cannot be started, with `hint`, or does not exit with 0.
std::string program_output(const std::vector<std::string>& program, const std::string& hint);

// 64 lower-case digits. `progress` is told the bytes done, every 16 MiB.
std::string sha256_hex(std::string_view text, const std::function<void(uint64_t)>& progress = {});

}  // namespace fathom
