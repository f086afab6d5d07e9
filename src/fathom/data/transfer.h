// One request to a server, as download.cpp and download_file.cpp make it.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "fathom/data/download.h"

namespace fathom {

struct Transfer {
  using Clock = std::chrono::steady_clock;

  explicit Transfer(const DownloadOptions& o) : options(o), most(o.max_bytes) {}
  const DownloadOptions& options;
  uint64_t most;  // bytes of a body; more end the transfer
  // Takes what arrives. What it throws ends the transfer.
  std::function<void(std::string_view)> take;
  std::function<void(std::string_view)> take_header = {};  // a line, without its end
  uint64_t before = 0;                                     // bytes that were there, for progress
  uint64_t taken = 0;
  bool too_long = false;
  bool stalled = false;
  uint64_t received = 0;  // at `moved`, the last time that anything arrived
  Clock::time_point moved = Clock::now();
  std::exception_ptr thrown;  // by a function of ours: it must not unwind through libcurl
};

// The status of the server's answer; its body went to transfer.take. `headers`: further lines of
// the request. Throws Error with `hint` where there is no answer, or it breaks off.
long perform(Transfer& transfer, const std::vector<std::string>& headers, const std::string& hint);

}  // namespace fathom
