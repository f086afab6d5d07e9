// Errors as values.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "fathom/base/error.h"

namespace fathom::testing {

// The Error that `action` throws; a failed test and an empty one if it throws none.
template <class Action>
Error caught(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error was thrown";
  return Error(ErrorKind::kFailure, "", "");
}

// The message of a failure that is nobody's wrong use.
template <class Action>
std::string error_of(Action action) {
  const Error error = caught(action);
  EXPECT_EQ(error.kind(), ErrorKind::kFailure);
  return error.what();
}

}  // namespace fathom::testing
