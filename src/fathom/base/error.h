// The one typed error of the library. Library code throws it; only a program's main() prints it and
// exits: `fathom: <message>` and, when there is one, `HINT: <hint>` on the next line.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace fathom {

enum class ErrorKind {
  kFailure,  // exit code 1: the work could not be done (file missing, disk full, corrupt data)
  kUsage,    // exit code 2: what was typed has no meaning (unknown key, value out of range)
};

class Error : public std::runtime_error {
 public:
  // `message`: one sentence without a final full stop that says what was given and what is allowed.
  // `hint`: what to do about it, empty if there is nothing to add.
  Error(ErrorKind kind, const std::string& message, std::string hint)
      : std::runtime_error(message), kind_(kind), hint_(std::move(hint)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& hint() const { return hint_; }

 private:
  ErrorKind kind_;
  std::string hint_;
};

[[noreturn]] inline void fail(const std::string& message, std::string hint = "") {
  throw Error(ErrorKind::kFailure, message, std::move(hint));
}

[[noreturn]] inline void misuse(const std::string& message, std::string hint = "") {
  throw Error(ErrorKind::kUsage, message, std::move(hint));
}

}  // namespace fathom
