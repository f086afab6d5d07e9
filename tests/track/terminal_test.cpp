#include "fathom/track/terminal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "fathom/track/progress.h"
#include "track/support.h"

namespace fathom {
namespace {

// A pseudo-terminal: what is written to `file()` can be read back as the screen would get it.
class FakeTerminal {
 public:
  explicit FakeTerminal(unsigned short columns) {
    screen_ = posix_openpt(O_RDWR | O_NOCTTY);
    if (screen_ < 0 || grantpt(screen_) != 0 || unlockpt(screen_) != 0) return;
    file_ = std::fopen(ptsname(screen_), "w");
    winsize size{};
    size.ws_col = columns;
    if (file_) ioctl(fileno(file_), TIOCSWINSZ, &size);
  }
  ~FakeTerminal() {
    if (file_) std::fclose(file_);
    if (screen_ >= 0) close(screen_);
  }
  FakeTerminal(const FakeTerminal&) = delete;
  FakeTerminal& operator=(const FakeTerminal&) = delete;

  std::FILE* file() const { return file_; }
  std::string read_screen() const {
    char buffer[4096];
    const ssize_t n = read(screen_, buffer, sizeof buffer);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : "";
  }

 private:
  int screen_ = -1;
  std::FILE* file_ = nullptr;
};

class TerminalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!terminal_.file()) GTEST_SKIP() << "no pseudo-terminals here";
  }
  const ScopedEnvironment term_{"TERM", "xterm"};
  const ScopedEnvironment no_color_{"NO_COLOR", nullptr};
  const FakeTerminal terminal_{30};
};

TEST_F(TerminalTest, PipesAndFilesAreNone) {
  std::FILE* file = std::tmpfile();
  EXPECT_FALSE(is_terminal(file));
  EXPECT_FALSE(can_redraw(file));
  EXPECT_FALSE(can_colour(file));
  EXPECT_EQ(terminal_width(file), 80);
  std::fclose(file);
  EXPECT_FALSE(is_terminal(nullptr));
}

TEST_F(TerminalTest, EnvironmentDecidesWhatIsUsed) {
  std::FILE* file = terminal_.file();
  EXPECT_TRUE(is_terminal(file));
  EXPECT_TRUE(can_redraw(file));
  EXPECT_TRUE(can_colour(file));
  EXPECT_EQ(terminal_width(file), 30);
  {
    const ScopedEnvironment no_color("NO_COLOR", "1");
    EXPECT_TRUE(can_redraw(file));
    EXPECT_FALSE(can_colour(file));
  }
  for (const char* term : {"dumb", "", static_cast<const char*>(nullptr)}) {
    const ScopedEnvironment dumb("TERM", term);
    EXPECT_TRUE(is_terminal(file));
    EXPECT_FALSE(can_redraw(file));
    EXPECT_FALSE(can_colour(file));
  }
}

TEST_F(TerminalTest, ProgressSuitsTheTerminal) {
  const ScopedEnvironment no_color("NO_COLOR", "1");
  ProgressOptions options = ProgressOptions::for_stream(terminal_.file(), 10);
  options.clock = [] { return 0.0; };
  ProgressLine progress(options);
  progress.update({1, 2.5, 12345.0}, false);
  EXPECT_EQ(terminal_.read_screen(), "\rstep 1/10 10.0% | loss 2.5000\033[K");
}

TEST_F(TerminalTest, ProgressSuitsAFile) {
  TempFolder folder;
  std::FILE* file = std::fopen((folder / "log").c_str(), "w+");
  ASSERT_TRUE(file);
  {
    ProgressOptions options = ProgressOptions::for_stream(file, 10);
    options.clock = [] { return 0.0; };
    ProgressLine progress(options);
    progress.update({1, 2.5, 12345.0}, true);
    EXPECT_GT(std::filesystem::file_size(folder / "log"), 0u);  // at once, not when a buffer fills
  }
  std::rewind(file);
  char line[200] = "";
  EXPECT_TRUE(std::fgets(line, sizeof line, file));
  EXPECT_STREQ(line, "step 1/10 10.0% | loss 2.5000 | 12.35k tok/s | elapsed 0s\n");
  std::fclose(file);
}

TEST(Text, HangsBehindWhatStandsBeforeIt) {
  EXPECT_EQ(hanging("one two three", 4, 12), "one two\n    three");
  EXPECT_EQ(hanging("one two three", 4, 17), "one two three");
  EXPECT_EQ(hanging("unbreakable so", 4, 6), "unbreakable\n    so");
  EXPECT_EQ(hanging("gr\xC3\xBC\xC3\x9F gr\xC3\xBC\xC3\x9F", 0, 9),
            "gr\xC3\xBC\xC3\x9F gr\xC3\xBC\xC3\x9F");
  EXPECT_EQ(hanging("", 4, 12), "");
}

TEST(Text, WhatIsToBeTypedIsNotBroken) {
  EXPECT_EQ(hanging("type `fathom eval x` or so", 0, 12), "type\n`fathom eval x`\nor so");
  EXPECT_EQ(hanging("one ` two", 0, 6), "one `\ntwo") << "one alone";
  EXPECT_EQ(folded("one two three\n", 9), "one two\n  three\n");
  EXPECT_EQ(folded("  val: one two three four\nshort\n", 12),
            "  val: one\n    two\n    three\n    four\nshort\n");
  const std::string command = "To go on:\n  fathom train some_preset --run_name=a --resume\n";
  EXPECT_EQ(folded(command, 20), command);
  EXPECT_EQ(folded("saved in /a/path/that/is/longer than", 20),
            "saved in\n  /a/path/that/is/longer\n  than");
  EXPECT_EQ(folded("", 20), "");
}

// A sentence in a log is one line; on a terminal it ends with the screen.
TEST_F(TerminalTest, LinesAreFittedToATerminal) {
  const std::string line(100, 'x'), text = line + " " + line + "\n";
  FILE* file = std::tmpfile();
  EXPECT_EQ(fitted(file, text), text);
  std::fclose(file);
  EXPECT_EQ(fitted(terminal_.file(), text), line + "\n  " + line + "\n");
}

TEST(Text, WidthCountsColumns) {
  EXPECT_EQ(text_width(""), 0);
  EXPECT_EQ(text_width("gr\xC3\xBC\xC3\x9F"), 4);
  EXPECT_EQ(text_width("\xF0\x9F\x90\x8B!"), 3) << "an emoji takes two";
  EXPECT_EQ(text_width("日本"), 4);
  EXPECT_EQ(text_width("e\u0301"), 1) << "an accent takes none";
  EXPECT_EQ(text_width("\xFF\xC3"), 2);  // not UTF-8
  EXPECT_EQ(text_width("\033[1mab\033[0m"), 2);
  EXPECT_EQ(cut_to_width("gr\xC3\xBC\xC3\x9F", 3), "gr\xC3\xBC");
  EXPECT_EQ(cut_to_width("日本", 3), "日") << "half a character is none";
  EXPECT_EQ(cut_to_width("e\u0301x", 1), "e\u0301");
  EXPECT_EQ(hanging("日本 日本 ab", 0, 7), "日本\n日本 ab");
  EXPECT_EQ(cut_to_width("abc", 0), "");
  EXPECT_EQ(cut_to_width("abc", -5), "");
  EXPECT_EQ(cut_to_width("abc", 9), "abc");
}

TEST(Style, VanishesWhenOff) {
  EXPECT_EQ(Style(true).bold("x"), "\033[1mx\033[0m");
  EXPECT_EQ(Style(true).red("x"), "\033[31mx\033[0m");
  EXPECT_EQ(Style(true).dim(""), "");
  EXPECT_EQ(Style(false).bold("x"), "x");
  EXPECT_EQ(Style(nullptr).green("x"), "x");
}

}  // namespace
}  // namespace fathom
