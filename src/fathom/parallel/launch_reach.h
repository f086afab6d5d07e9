// How ranks come to the place where they meet: looked for here before the library is that speaks
// there, for it says what it tries every second, and all that it meets in one sentence.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "fathom/parallel/launch.h"

namespace fathom {

// How long somebody is waited for, and when `note` is told what is waited for, once.
struct WaitOptions {
  std::chrono::milliseconds patience{60000}, silence{5000};
  std::function<void(const std::string& sentence)> note = {};
};

class Wait {
 public:
  explicit Wait(WaitOptions options) : options_(std::move(options)) {}
  // Waits for a moment, each a little longer than the one before, up to `longest`. False: the time
  // is over. `what` is asked for where it is told; empty: another one says it.
  bool moment(const std::function<std::string()>& what,
              std::chrono::milliseconds longest = std::chrono::milliseconds(1000));

 private:
  using Clock = std::chrono::steady_clock;
  std::chrono::milliseconds left() const;
  WaitOptions options_;
  const Clock::time_point begin_ = Clock::now();
  std::chrono::milliseconds pause_{10};
  bool is_told_ = false;
};

// "node0:29500".
std::string place_of(const Launch& launch);

// The address of this machine at which the others reach it: 127.0.0.1 where all are on one machine,
// else that of the interface by which `launch.address` is reached. Throws Error where there is no
// way to it; of kind kUsage: no machine has that name, which waiting does not change.
std::string own_address(const Launch& launch);
// The same, waited for: the way may be there later.
std::string own_address(const Launch& launch, Wait& wait);

// Why nobody can be spoken to at the place to meet ("Connection refused"); empty: somebody listens.
std::string silence_at(const Launch& launch);
// Returns when somebody listens there: `who`, as far as a user knows. Throws Error where nobody
// came in time.
void await_listener(const Launch& launch, const std::string& who, Wait& wait);

// Why this machine cannot listen at a port; empty: it can.
std::string trouble_to_listen(int port);

}  // namespace fathom
