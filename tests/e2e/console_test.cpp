// What is only watched never decides over a run: consoles that are closed, full, gone or asleep,
// signals that schedulers send, a store that another program locks. Exit code and store tell the
// run's truth.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include "e2e/small_run.h"
#include "fathom/track/run_store.h"
#include "fathom/track/terminal.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ConsoleTest : public ::testing::Test {
 protected:
  // A shell's line, in the place's folder; `fathom` is the program.
  int shell(const std::string& line) const {
    const std::string all = "cd '" + place_.path("").string() +
                            "' && unset FATHOM_RUNS FATHOM_DATA && fathom() { '" +
                            fathom_program() + "' \"$@\"; }; " + line;
    const int status = std::system(("bash -c '" + quoted(all) + "'").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  static std::string quoted(const std::string& line) {
    std::string out;
    for (const char c : line) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return out;
  }
  static std::string train_line(const std::string& name) {
    std::string line = "fathom";
    for (const std::string& word : SmallRuns::train_words({"--run_name=" + name}))
      line += " " + word;
    return line;
  }
  std::string status_of(const std::string& name) const {
    const RunStore store(place_.path("runs/fathom.db"), {/*read_only=*/true});
    const auto record = store.find(name);
    return record ? status_name(record->status) : "not there";
  }
  size_t stored(const std::string& name, const std::string& metric) const {
    return RunStore(place_.path("runs/fathom.db"), {/*read_only=*/true})
        .series(name, metric)
        .size();
  }
  std::string said() const { return slurp(place_.path("said.txt")); }

  SmallRuns place_;
};

// Training --------------------------------------------------------------------------------------

TEST_F(ConsoleTest, ABrokenConsoleDoesNotEndARun) {
  const std::pair<const char*, const char*> consoles[] = {
      {"head", "2>&1 | head -4 >/dev/null; exit ${PIPESTATUS[0]}"},
      {"nobody", "2>&1 | true; exit ${PIPESTATUS[0]}"},
      {"no_stdout", ">&-"},
      {"no_stderr", "2>&- >said.txt"},
      {"neither", ">&- 2>&-"},
      {"none_at_all", "<&- >&- 2>&-"},
      {"full", "> /dev/full 2>&1"},
  };
  ASSERT_EQ(place_.train({"--run_name=whole"}).exit_code, 0);
  const auto whole = place_.bytes_of("whole");
  for (const auto& [name, console] : consoles) {
    EXPECT_EQ(shell(train_line(name) + " " + console), 0) << name;
    EXPECT_EQ(status_of(name), "done") << name;
    EXPECT_EQ(stored(name, "train/loss"), 60u) << name;
    const auto bytes = place_.bytes_of(name);
    for (const auto& [file, wanted] : whole)
      EXPECT_TRUE(wanted.size() > 100 && bytes.at(file) == wanted) << name << ": " << file;
  }
}

// A terminal that is closed hangs up; one that is gone without a word gives EIO. Whether a run was
// told to ignore the hangup is for its starter to say, not for a library that is loaded.
TEST_F(ConsoleTest, ATerminalThatGoesDoesNotMakeARunFailed) {
  // Its own name may have a space, at which LD_PRELOAD ends.
  const std::string library = place_.path("takes-signals.so");
  std::filesystem::create_symlink(
      std::filesystem::path(fathom_program()).parent_path() / "tests/libtakes-signals.so", library);
  for (const std::string name : {"hangup", "hangup_taken", "nohup", "nohup_taken"}) {
    const bool ignores_hangup = name.rfind("nohup", 0) == 0;
    int screen = -1;
    const pid_t child = forkpty(&screen, nullptr, nullptr, nullptr);
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (ignores_hangup) signal(SIGHUP, SIG_IGN);
      if (name.find("taken") != std::string::npos) setenv("LD_PRELOAD", library.c_str(), 1);
      if (chdir(place_.path("").c_str()) != 0) _exit(127);
      Words words = SmallRuns::train_words({"--run_name=" + name, "--max_iters=300"});
      std::vector<char*> argv = {const_cast<char*>("fathom")};
      for (std::string& word : words) argv.push_back(word.data());
      argv.push_back(nullptr);
      execv(fathom_program().c_str(), argv.data());
      _exit(127);
    }
    std::string seen;
    char buffer[4096];
    while (seen.find("left ") == std::string::npos) {  // a step has been made
      const ssize_t n = read(screen, buffer, sizeof buffer);
      if (n <= 0) break;
      seen.append(buffer, static_cast<size_t>(n));
    }
    close(screen);
    const Outcome o = place_.wait_for(child);
    EXPECT_EQ(o.exit_code, ignores_hangup ? 0 : 128 + SIGHUP) << seen;
    EXPECT_EQ(status_of(name), ignores_hangup ? "done" : "interrupted");
    EXPECT_GT(place_.saved_step(name), 0);
  }
}

// `train | less`: nobody turns the page.
TEST_F(ConsoleTest, AReaderThatSleepsDoesNotStopARun) {
  EXPECT_EQ(shell(train_line("asleep") +
                  " --max_iters=1500 --eval_interval=1500 2>&1 | sleep 30 >/dev/null 2>&1 & "
                  "for i in $(seq 600); do sleep 0.1; "
                  "test -e runs/asleep/checkpoints/last && exit 0; done; exit 1"),
            0);
}

TEST_F(ConsoleTest, WhatSchedulersSendSavesAndLeaves) {
  for (const int signal : {SIGUSR1, SIGXCPU, SIGQUIT, SIGALRM, SIGRTMIN}) {
    const std::string name = "signal" + std::to_string(signal);
    const pid_t child = place_.start_train({"--run_name=" + name, "--max_iters=100000"});
    ASSERT_TRUE(place_.wait_until_said("step 3"));
    kill(child, signal);
    const Outcome o = place_.wait_for(child);
    EXPECT_EQ(o.exit_code, 128 + signal) << o.err;
    EXPECT_THAT(o.out, HasSubstr("interrupted; saved at step"));
    EXPECT_EQ(status_of(name), "interrupted");
    EXPECT_GT(place_.saved_step(name), 0);
  }
}

// A warning, and seconds later the order: the run has saved by then, or is about to.
TEST_F(ConsoleTest, AWarningBeforeTheEndIsNotCounted) {
  const pid_t child = place_.start_train({"--run_name=slurm", "--max_iters=100000"});
  ASSERT_TRUE(place_.wait_until_said("step 3"));
  kill(child, SIGUSR1);
  // Of two at once the later one may be seen first.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  kill(child, SIGTERM);
  EXPECT_EQ(place_.wait_for(child).exit_code, 128 + SIGUSR1);
  EXPECT_EQ(status_of("slurm"), "interrupted");
}

TEST_F(ConsoleTest, ALimitOnProcessorTimeSaves) {
  const pid_t child = place_.start_train({"--run_name=cpu", "--max_iters=100000000"}, [] {
    const rlimit limit = {3, 30};
    setrlimit(RLIMIT_CPU, &limit);
  });
  const Outcome o = place_.wait_for(child);
  EXPECT_EQ(o.exit_code, 128 + SIGXCPU);
  EXPECT_EQ(status_of("cpu"), "interrupted");
}

TEST_F(ConsoleTest, ALimitOnFileSizesIsASentence) {
  const pid_t child = place_.start_train({"--run_name=size"}, [] {
    const rlimit limit = {20000, 20000};
    setrlimit(RLIMIT_FSIZE, &limit);
  });
  const Outcome o = place_.wait_for(child);
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, AllOf(HasSubstr("File too large"), HasSubstr("ulimit -f"),
                           Not(HasSubstr("/proc/self/fd"))));
}

// The store ---------------------------------------------------------------------------------------

TEST_F(ConsoleTest, AStoreThatIsLockedForLongGetsAllInTheEnd) {
  ASSERT_EQ(place_.train({"--run_name=whole"}).exit_code, 0);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(place_.path("runs/fathom.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const pid_t child = place_.start_train({"--run_name=locked"});
  EXPECT_TRUE(place_.wait_until_said("is locked"));
  EXPECT_TRUE(place_.wait_until_said("step 60/60")) << "it goes on meanwhile";
  ASSERT_EQ(sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  const Outcome o = place_.wait_for(child);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("is locked"));
  EXPECT_EQ(status_of("locked"), "done");
  EXPECT_EQ(stored("locked", "train/loss"), 60u);
  EXPECT_EQ(place_.bytes_of("locked"), place_.bytes_of("whole"));
}

TEST_F(ConsoleTest, AKilledRunDoesNotRunForEver) {
  const pid_t child = place_.start_train({"--run_name=dead", "--max_iters=100000"});
  ASSERT_TRUE(place_.wait_until_said("step 3"));
  kill(child, SIGKILL);
  place_.wait_for(child);
  EXPECT_EQ(status_of("dead"), "running") << "nobody has looked yet";
  EXPECT_EQ(place_.run({"export", "dead", "--metrics=csv"}).exit_code, 0);
  EXPECT_EQ(status_of("dead"), "killed");
}

// What is a product -------------------------------------------------------------------------------

TEST_F(ConsoleTest, ALostProductIsOneSentenceAndAFailure) {
  ASSERT_EQ(place_.train({"--run_name=base"}).exit_code, 0);
  for (const char* words : {"list", "describe gpt2ish", "export base --metrics=csv", "--help",
                            "eval base", "generate base --max_new_tokens=4"}) {
    for (const char* console : {">&-", "> /dev/full"}) {
      EXPECT_EQ(shell(std::string("fathom ") + words + " " + console + " 2>said.txt"), 1)
          << words << console << said();
      EXPECT_THAT(said(), AllOf(HasSubstr("fathom: the output could not be written: "),
                                HasSubstr("HINT: ")))
          << words << console;
    }
    EXPECT_EQ(shell(std::string("fathom ") + words + " >&- 2>&-"), 1) << words;
    EXPECT_EQ(shell(std::string("fathom ") + words + " 2>&- >/dev/null"), 0) << words;
  }
  EXPECT_EQ(shell("fathom nonsense 2>&-"), 2);
}

// Messages are not written into a file that got number 2 by chance.
TEST_F(ConsoleTest, NoFileIsTakenForTheConsole) {
  EXPECT_EQ(shell(train_line("closed") + " >&- 2>&-"), 0);
  EXPECT_EQ(shell(train_line("closed") + " --resume --max_iters=61 >&- 2>&-"), 0);
  EXPECT_EQ(place_.run({"export", "closed", "--metrics=csv"}).exit_code, 0);
}

// Generating ------------------------------------------------------------------------------------

TEST_F(ConsoleTest, AStopKeepsEverySample) {
  ASSERT_EQ(place_.train({"--run_name=base"}).exit_code, 0);
  for (const char* count : {"1", "3"}) {
    const pid_t child = place_.start({"generate", "base", "--num_samples=" + std::string(count),
                                      "--max_new_tokens=100000000", "--start=the "});
    ASSERT_TRUE(place_.wait_until_said("the "));
    kill(child, SIGINT);
    const Outcome o = place_.wait_for(child);
    EXPECT_EQ(o.exit_code, 130) << o.err;
    size_t texts = 0;
    for (size_t at = 0; (at = o.out.find("the ", at)) != std::string::npos; ++at)
      texts += at == 0 || o.out[at - 1] == '\n';
    EXPECT_GE(texts, count[0] - '0') << o.out.substr(0, 1000);
    EXPECT_EQ(o.out.back(), '\n');
  }
}

TEST_F(ConsoleTest, AStopKeepsEverySampleAsJsonToo) {
  ASSERT_EQ(place_.train({"--run_name=base"}).exit_code, 0);
  // When it has begun to write is not seen from outside: a stop that came before is sent again
  // later.
  Outcome o;
  for (int seconds = 1; o.out.empty() && seconds < 64; seconds *= 2) {
    const pid_t child = place_.start({"generate", "base", "--num_samples=2", "--json",
                                      "--max_new_tokens=100000000", "--start=the "});
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    kill(child, SIGINT);
    o = place_.wait_for(child);
    EXPECT_EQ(o.exit_code, 130) << o.err;
  }
  const auto report = nlohmann::json::parse(o.out);
  EXPECT_EQ(report["interrupted"], true);
  ASSERT_EQ(report["texts"].size(), 2u);
  for (const auto& text : report["texts"]) EXPECT_EQ(text.get<std::string>().rfind("the ", 0), 0u);
  EXPECT_GT(report["tokens"], 0);
}

// What a program shows on a terminal.
std::string screen_of(const SmallRuns& place, const Words& words, const char* term = "dumb",
                      uint16_t columns = 80) {
  int screen = -1;
  const winsize size = {24, columns, 0, 0};
  const pid_t child = forkpty(&screen, nullptr, nullptr, &size);
  if (child == 0) {
    if (chdir(place.path("").c_str()) != 0) _exit(127);
    setenv("TERM", term, 1);
    std::vector<char*> argv = {const_cast<char*>("fathom")};
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    execv(fathom_program().c_str(), argv.data());
    _exit(127);
  }
  std::string seen;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(screen, buffer, sizeof buffer)) > 0;)
    seen.append(buffer, static_cast<size_t>(n));
  int status = 0;
  waitpid(child, &status, 0);
  close(screen);
  return seen;
}

TEST_F(ConsoleTest, AModelDoesNotDriveATerminal) {
  std::string text;
  for (int i = 0; i < 300; ++i)
    text +=
        "\x1b[2J\x07\xE2\x80\x8B\xC2\x9B"
        "31m\xF0\x9F\x98\x80 ";
  place_.write("evil.txt", text);
  ASSERT_EQ(place_.run({"prepare", "evil.txt", "--tokenizer=byte"}).exit_code, 0);
  Words words = SmallRuns::train_words({"--run_name=evil", "--dataset=evil"});
  ASSERT_EQ(place_.run(words).exit_code, 0);
  const Words generate = {"generate", "evil", "--start=\x1b[1mgo", "--max_new_tokens=200"};
  const std::string seen = screen_of(place_, generate);
  EXPECT_THAT(seen, HasSubstr("\\x1b[1mgo"));
  for (const char* bad : {"\x1b", "\x07", "\xE2\x80\x8B", "\xC2\x9B"})
    EXPECT_EQ(seen.find(bad), std::string::npos) << seen;
  const Outcome piped = place_.run(generate);
  EXPECT_EQ(piped.out.rfind("\x1b[1mgo", 0), 0u) << "into a file go the bytes as they are";
  const Outcome bytes = place_.run({"generate", "evil", "--start=\xff\xfe", "--max_new_tokens=2"});
  EXPECT_EQ(bytes.out.rfind("\xff\xfe", 0), 0u) << "a model of bytes takes any: " << bytes.err;
  const std::string traced = screen_of(place_, {"trace", "evil", "--text=\x1b[2J\xE2\x80\xAE x"});
  EXPECT_EQ(traced.find("\x1b[2J"), std::string::npos) << traced;
  EXPECT_EQ(traced.find("\xE2\x80\xAE"), std::string::npos) << traced;
}

TEST_F(ConsoleTest, ATerminalShowsWhatGoesOn) {
  const std::string trained =
      screen_of(place_, SmallRuns::train_words({"--run_name=live"}), "xterm", 160);
  for (const char* part : {"evaluating train", " val ", "best ", "━"})
    EXPECT_THAT(trained, HasSubstr(part));
  EXPECT_THAT(screen_of(place_, {"eval", "live"}, "xterm"), HasSubstr("evaluate 100 %\r\033[K"));
  EXPECT_THAT(screen_of(place_, {"eval", "live", "--evaluations=val"}, "xterm"),
              HasSubstr("evaluate val 100 %"));
  EXPECT_THAT(screen_of(place_, {"trace", "live", "--num_chars=40", "--sentences=0"}, "xterm"),
              AllOf(HasSubstr("--num_chars=N ends it"), HasSubstr("trace 100 %\r\033[K")));
}

// Of what was on a screen, but for styles, what was wider than 80 columns and not to be typed.
std::vector<std::string> wide_lines(const std::string& seen) {
  std::vector<std::string> wide;
  for (size_t begin = 0; begin < seen.size();) {
    const size_t end = std::min(seen.find_first_of("\r\n", begin), seen.size());
    std::string line = seen.substr(begin, end - begin);
    constexpr std::string_view kEraseRest = "\x1b[K";
    if (const size_t at = line.rfind(kEraseRest); at != std::string::npos)
      line.erase(at, kEraseRest.size());
    if (text_width(line) > 80 && line.rfind("  fathom ", 0) != 0) wide.push_back(line);
    begin = end + 1;
  }
  return wide;
}

TEST_F(ConsoleTest, LinesEndAtATerminalsEdge) {
  const std::string name = "a_run_with_a_name_that_is_not_short";
  place_.write("other.txt", small_text());
  for (const char* term : {"xterm", "dumb"})
    for (const Words& words :
         {Words{"prepare", "other.txt", "--force"},
          {"prepare", "numbers"},
          SmallRuns::train_words({"--run_name=" + name, "--force", "--max_iters=5"}),
          {"train", "--run_name=" + name, "--resume", "gpt2ish_shakespeare_cpu", "--n_layer=7"},
          {"eval", name},
          {"trace", name, "--num_chars=60", "--sentences=0"},
          {"generate", name, "--max_new_tokens=20"},
          {"eval", "no/such/run"},
          {"train", "gpt2ish_shakespeare_cpu", "--dataset=none_of_this_name"}}) {
      const std::string seen = screen_of(place_, words, term);
      EXPECT_THAT(wide_lines(seen), ::testing::IsEmpty()) << seen;
    }
}

TEST_F(ConsoleTest, APathDoesNotDriveATerminal) {
  for (const Words& words :
       {Words{"prepare", "no\x1b[2J\u202Efile.txt"}, Words{"generate", "no\x1b[2Jrun"},
        Words{"eval", "/no\x1b[2J/run"}, Words{"generate", "x", "--start=FILE:no\x1b[2Jfile"},
        Words{"export", "no\x07run", "--metrics=csv"}}) {
    const std::string seen = screen_of(place_, words);
    EXPECT_THAT(seen, HasSubstr("fathom: "));
    for (const char* bad : {"\x1b", "\x07", "\xE2\x80\xAE"})
      EXPECT_EQ(seen.find(bad), std::string::npos) << seen;
  }
}

// Threads -----------------------------------------------------------------------------------------

TEST_F(ConsoleTest, TheStartLineSaysWhySoManyThreads) {
  const std::string words = "--max_iters=1 --threads=0 >said.txt 2>&1";
  EXPECT_EQ(shell("OMP_NUM_THREADS=1 " + train_line("omp") + " " + words), 0);
  EXPECT_THAT(said(), HasSubstr("1 thread: as OMP_NUM_THREADS says"));
  EXPECT_EQ(shell("OMP_NUM_THREADS=nonsense " + train_line("nonsense") + " " + words), 0);
  EXPECT_THAT(said(), HasSubstr("OMP_NUM_THREADS = \"nonsense\" is not a number of threads"));
  for (const char* many : {"100000000", "9223372036854775807", "4294967297"}) {
    const Outcome o = place_.train({"--run_name=many", std::string("--threads=") + many});
    EXPECT_EQ(o.exit_code, 2) << o.err;
    EXPECT_THAT(o.err, AllOf(HasSubstr("threads = "), HasSubstr("allowed: 0")));
    EXPECT_FALSE(std::filesystem::exists(place_.path("runs/many")));
  }
}

}  // namespace
}  // namespace fathom::testing
