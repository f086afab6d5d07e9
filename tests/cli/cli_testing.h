// What the tests of the command line share: the program, errors as values, a corpus to name.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "config/config_testing.h"
#include "e2e/program.h"
#include "fathom/data/prepare.h"

namespace fathom::testing {

using Words = std::vector<std::string>;

// What `fathom VERB --help=all` says, lines that go on in the next one put together.
inline std::string whole_help(const Workplace& place, const std::string& verb) {
  std::string help = place.run({verb, "--help=all"}).out;
  const std::string broken = "\n" + std::string(27, ' ');
  for (size_t at = help.find(broken); at != std::string::npos; at = help.find(broken, at))
    help.replace(at, broken.size(), " ");
  return help;
}

// A folder with the corpus `rain` (25 characters) in data/, for the program and, through the
// environment, for this process.
class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    ::setenv("FATHOM_DATA", place_.path("data").c_str(), 1);
    ::setenv("FATHOM_RUNS", place_.path("runs").c_str(), 1);
    place_.write("rain.txt", small_text());
    prepare_text("rain");
  }
  ~CliTest() override {
    ::unsetenv("FATHOM_DATA");
    ::unsetenv("FATHOM_RUNS");
  }

  void prepare_text(const std::string& name) const {
    PrepareOptions options;
    options.what = place_.path("rain.txt");
    options.name = name;
    options.tokenizer = "char";
    prepare(options);
  }
  Outcome run(const Words& words) const { return place_.run(words); }

  Workplace place_;
};

}  // namespace fathom::testing
