// Streams, links, signals and bytes on the command line, as far as no tensors are needed.
#include <sys/stat.h>
#include <csignal>

#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/cli_testing.h"
#include "fathom/data/corpus.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

using ::testing::HasSubstr;
using testing::Outcome;
using testing::refusal_of;
using testing::slurp;
using testing::Words;
namespace fs = std::filesystem;

class PathsTest : public testing::CliTest {
 protected:
  // Descriptor 9 of the child reads what `text` holds, through a pipe.
  Outcome run_with_pipe(const Words& words, const std::string& text, int descriptor = 9) const {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    const pid_t child = place_.start(words, [&] {
      ::close(ends[1]);
      ::dup2(ends[0], descriptor);
    });
    ::close(ends[0]);
    EXPECT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(ends[1]);
    return place_.wait_for(child);
  }
  size_t entries_of(const std::string& folder) const {
    size_t entries = 0;
    for (const auto& entry : fs::directory_iterator(place_.path(folder))) entries += entry.exists();
    return entries;
  }
};

TEST_F(PathsTest, AConfigFileMayBeAPipe) {
  for (const Words& words : {Words{"train", "gpt2", "/dev/fd/9", "--describe"},
                             Words{"train", "gpt2", "--config=/dev/fd/9", "--describe"},
                             Words{"describe", "gpt2", "/dev/fd/9"}}) {
    const Outcome o = run_with_pipe(words, "n_layer = 2\n");
    EXPECT_EQ(o.exit_code, 0) << o.err;
    EXPECT_THAT(o.out, HasSubstr("n_layer = 2\n")) << words[0];
  }
  const Outcome o = run_with_pipe({"train", "gpt2", "/dev/stdin", "--describe"}, "n_layr = 2\n", 0);
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("/dev/stdin:1: unknown key n_layr"));
}

TEST_F(PathsTest, ConfigFilesThatCannotBeReadSayWhy) {
  fs::create_directory(place_.path("folder.toml"));
  fs::create_symlink("loop.toml", place_.path("loop.toml"));
  const auto said = [&](const std::string& file) {
    const Outcome o = run({"train", "gpt2", file, "--describe"});
    EXPECT_NE(o.exit_code, 0);
    EXPECT_THAT(o.err, HasSubstr("HINT:"));
    return o.err;
  };
  EXPECT_THAT(said("folder.toml"), HasSubstr("is a folder, not a config file"));
  EXPECT_THAT(said("loop.toml"), HasSubstr("Too many levels of symbolic links"));
  EXPECT_THAT(said(std::string(300, 'x')), HasSubstr("File name too long"));
  EXPECT_THAT(said("none.toml"), HasSubstr("there is no config file \"none.toml\""));
  EXPECT_THAT(said("rain.txt/none.toml"), HasSubstr("there is no config file"));
}

// As a shell has it where it looks, which is not behind an equals sign or within quotes.
TEST_F(PathsTest, ATildeIsTheHomeFolder) {
  const std::string home = place_.path("").string();
  ::setenv("HOME", home.c_str(), 1);
  const Outcome o = run({"prepare", "~/rain.txt", "--name=tilde", "--tokenizer=byte"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  fs::create_directories(place_.path("runs/mine/checkpoints"));
  EXPECT_THAT(run({"eval", "~/runs/mine"}).err, HasSubstr("has no checkpoint yet"));
  ::setenv("FATHOM_RUNS", "~/my_runs", 1);
  ::setenv("FATHOM_DATA", "~/my_data", 1);
  EXPECT_EQ(runs_root(), home + "/my_runs");
  EXPECT_EQ(data_root(), home + "/my_data");
  ::unsetenv("FATHOM_RUNS");
  ::unsetenv("FATHOM_DATA");
}

TEST_F(PathsTest, AStartMayHaveEveryByte) {
  place_.write("caf\xe9.txt", "ROMEO");
  EXPECT_EQ(start_text("FILE:" + place_.path("caf\xe9.txt").string()), "ROMEO");
  EXPECT_EQ(start_text("caf\xe9"), "caf\xe9");
  EXPECT_EQ(start_text("a\\nb\\tc"), "a\nb\tc");
  EXPECT_EQ(start_text("a\\\\nb\\c"), "a\\nb\\c") << "a backslash that is meant";
  EXPECT_EQ(start_text("file:%41"), "file:%41");
  // A dash is standard input.
  place_.write("typed.txt", "JULIET");
  const int before = dup(STDIN_FILENO), typed = open(place_.path("typed.txt").c_str(), O_RDONLY);
  dup2(typed, STDIN_FILENO);
  EXPECT_EQ(start_text("FILE:-"), "JULIET");
  dup2(before, STDIN_FILENO);
  close(before);
  close(typed);
}

TEST_F(PathsTest, ATextMayComeThroughAPipe) {
  const std::string text = testing::small_text();
  Outcome o = run_with_pipe({"prepare", "/dev/stdin", "--name=piped"}, text, 0);
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(slurp(place_.path("data/piped/train.bin")), slurp(place_.path("data/rain/train.bin")));
  o = run_with_pipe({"prepare", "/dev/stdin"}, text, 0);
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("--name"));
}

// Those of /proc are said to have no bytes.
TEST_F(PathsTest, AFileIsReadThatDoesNotTellItsSize) {
  ASSERT_EQ(fs::file_size("/proc/self/maps"), 0u);
  const Outcome o = run({"prepare", "/proc/self/maps", "--name=maps", "--tokenizer=byte"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("maps is prepared"));
  place_.write("nothing.txt", "");
  EXPECT_THAT(run({"prepare", "nothing.txt"}).err, HasSubstr("the text of nothing.txt is empty"));
}

// The same bytes as with nobody interrupting, that is: none.
TEST_F(PathsTest, APreparationEndsCleanlyOnASignal) {
  ASSERT_EQ(::mkfifo(place_.path("fifo").c_str(), 0600), 0);
  const size_t before = entries_of("data");
  for (const int signal : {SIGINT, SIGTERM}) {
    const pid_t child = place_.start({"prepare", "fifo", "--name=never"});
    std::this_thread::sleep_for(std::chrono::milliseconds(300));  // it waits for a writer
    ::kill(child, signal);
    const Outcome o = place_.wait_for(child);
    EXPECT_EQ(o.exit_code, 128 + signal);
    EXPECT_THAT(o.err, HasSubstr("no corpus was written"));
    EXPECT_EQ(entries_of("data"), before);
  }
}

TEST_F(PathsTest, BytesThatAreNotUtf8GoInAndOut) {
  const std::string latin = "caf\xe9.txt";
  place_.write(latin, testing::small_text());
  Outcome o = run({"prepare", latin, "--json"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(nlohmann::json::parse(o.out)["name"], "café");
  fs::rename(place_.path("data/café"), place_.path("data/d\xe9pot"));
  for (const std::string& dataset :
       {std::string("d\xe9pot"), std::string("data/d\xe9pot"), std::string("file:d%E9pot")}) {
    o = run({"train", "gpt2", "--dataset=" + dataset, "--describe"});
    EXPECT_EQ(o.exit_code, 0) << o.err;
  }
  fs::create_directories(place_.path("runs/first/checkpoints"));
  RunStore store(place_.path("runs/fathom.db"));
  store.add(store.create_run("first", "e", ""), 1, std::vector<MetricValue>{{"train/loss", 4.5}});
  o = run({"export", "first", "--metrics=csv", "--output=nombr\xe9.csv"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(slurp(place_.path("nombr\xe9.csv")), HasSubstr("4.5"));
  fs::create_symlink("target.csv", place_.path("link.csv"));
  o = run({"export", "first", "--metrics=csv", "--output=link.csv"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_TRUE(fs::is_symlink(place_.path("link.csv")));
  EXPECT_THAT(slurp(place_.path("target.csv")), HasSubstr("4.5"));
}

TEST_F(PathsTest, AForcedPreparationSaysWhatItRemoves) {
  place_.write("rain.md", testing::small_text() + "another");
  Outcome o = run({"prepare", "rain.md"});
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("made from "));
  EXPECT_THAT(o.err, HasSubstr("/rain.txt"));
  o = run({"prepare", "rain.md", "--force", "--json"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.err, HasSubstr("note: --force removes data/rain, a corpus of "));
  EXPECT_THAT(o.err, HasSubstr("/rain.txt"));
}

}  // namespace
}  // namespace fathom
