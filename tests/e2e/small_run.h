// A tiny training run as a user types it, its interruption, and what it leaves.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <map>
#include <thread>

#include "e2e/program.h"
#include "fathom/io/checkpoint_folder.h"

namespace fathom::testing {

using Words = std::vector<std::string>;

// A workplace with the corpus `rain`.
class SmallRuns : public Workplace {
 public:
  SmallRuns() {
    write("rain.txt", small_text());
    if (run({"prepare", "rain.txt"}).exit_code != 0) std::abort();
  }

  // 2 layers, 32 wide, 60 steps with dropout, a line for each and an evaluation every 30.
  static Words train_words(const Words& more) {
    Words words = {"train",           "gpt2ish_shakespeare_cpu",
                   "--dataset=rain",  "--n_layer=2",
                   "--n_head=2",      "--n_embd=32",
                   "--block_size=16", "--batch_size=4",
                   "--max_iters=60",  "--eval_interval=30",
                   "--eval_iters=4",  "--warmup_iters=5",
                   "--dropout=0.1",   "--log_interval=1",
                   "--threads=1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Outcome train(const Words& more) const { return run(train_words(more)); }
  pid_t start_train(
      const Words& more, const std::function<void()>& prepare = [] {}) const {
    return start(train_words(more), prepare);
  }

  std::string checkpoint(const std::string& run, const std::string& name) const {
    return path("runs/" + run + "/checkpoints/" + name);
  }
  // The step of the newest complete checkpoint, -1 if there is none.
  int64_t saved_step(const std::string& run) const {
    const auto choice = newest_complete(path("runs/" + run + "/checkpoints"));
    return choice ? choice->step : -1;
  }
  std::map<std::string, std::string> bytes_of(const std::string& run) const {
    std::map<std::string, std::string> bytes;
    for (const char* name : {"last", "best"})
      for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json"})
        bytes[std::string(name) + "/" + file] = slurp(checkpoint(run, name) + "/" + file);
    return bytes;
  }

  // Waits until the running program has printed `text`; false after half a minute.
  bool wait_until_said(const std::string& text) const {
    for (int i = 0; i < 3000; ++i) {
      if (slurp(path("stdout.txt")).find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  bool wait_until_there(const std::string& name) const {
    for (int i = 0; i < 3000; ++i) {
      if (std::filesystem::exists(path(name))) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
};

// Kills the training of `run`, which is what `more` makes it, some time after its first checkpoint
// is there, and resumes it to its end. False if there was nothing to go on from, or it did not go
// on.
inline bool goes_on_after_a_kill(const SmallRuns& place, const std::string& run, const Words& more,
                                 std::chrono::microseconds after) {
  Words words = more;
  words.push_back("--run_name=" + run);
  const pid_t child = place.start_train(words);
  if (!place.wait_until_there("runs/" + run + "/checkpoints/last")) return false;
  std::this_thread::sleep_for(after);
  kill(child, SIGKILL);
  place.wait_for(child);
  if (place.saved_step(run) < 0) return false;
  words.push_back("--resume");
  const Outcome o = place.train(words);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  return o.exit_code == 0;
}

// True if such a run then ends with the bytes of the run `whole`, which nobody disturbed, but for
// the interval in its configuration.
inline bool survives_a_kill(const SmallRuns& place, const std::string& run,
                            std::chrono::microseconds after) {
  if (!goes_on_after_a_kill(place, run, {"--checkpoint_interval=2"}, after)) return false;
  auto bytes = place.bytes_of(run);
  for (const char* state : {"last/state.json", "best/state.json"}) {
    const std::string word = "\"checkpoint_interval\": ";
    const size_t at = bytes[state].find(word + "2,");
    if (at == std::string::npos) return false;
    bytes[state].replace(at + word.size(), 1, "null");
  }
  return bytes == place.bytes_of("whole");
}

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace fathom::testing
