// Bytes of files, texts and programs.
#include "fathom/io/byte_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/temp_folder.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;

std::string all_of(ByteStream& stream, size_t at_a_time = 1000) {
  std::string all, piece(at_a_time, '\0');
  while (const size_t n = stream.read(piece.data(), piece.size())) all.append(piece, 0, n);
  return all;
}

Program shell(const std::string& script) {
  return {{"sh", "-c", script}, "apt install dash"};
}

TEST(ByteStream, FilesAndTextsComeWhole) {
  TempFolder folder;
  const std::string text(10'000, 'x');
  spill(folder / "a", text + "end");
  const auto file = open_file_stream(folder / "a");
  EXPECT_EQ(all_of(*file), text + "end");
  EXPECT_EQ(file->position(), 10'003u);
  EXPECT_EQ(all_of(*text_stream(text), 7), text);
  EXPECT_EQ(all_of(*text_stream("")), "");
  EXPECT_THAT(error_of([&] { open_file_stream(folder / "b"); }), HasSubstr("cannot open"));
}

TEST(ByteStream, ProgramsReadTheFile) {
  TempFolder folder;
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "line " + std::to_string(i) + "\n";
  spill(folder / "a", text);
  const auto stream = open_program_stream({{"tr", "l", "L"}, ""}, folder / "a");
  std::string first(10, '\0');
  EXPECT_GT(stream->read(first.data(), first.size()), 0u);
  EXPECT_EQ(first.substr(0, 4), "Line");
  EXPECT_GT(all_of(*stream).size(), text.size() - 20);
  EXPECT_EQ(stream->position(), text.size());
  EXPECT_EQ(all_of(*open_program_stream_over({{"cat"}, ""}, text)), text);
}

TEST(ByteStream, AProgramThatFailsIsNamedWithItsLastWords) {
  TempFolder folder;
  spill(folder / "a", "bytes");
  const auto failure = [&](const std::string& script) {
    const auto stream = open_program_stream(shell(script), folder / "a");
    return caught([&] { all_of(*stream); });
  };
  const Error error = failure("echo first >&2; echo 'last \033[31m word' >&2; exit 3");
  EXPECT_THAT(error.what(), HasSubstr("`sh` failed with exit code 3 on " + folder.path() + "/a: "));
  EXPECT_THAT(error.what(), HasSubstr("last \\x1b[31m word"));
  EXPECT_THAT(error.hint(), HasSubstr("damaged"));
  EXPECT_EQ(failure("exit 127").hint(), "apt install dash");
  EXPECT_THAT(failure("kill -9 $$").what(), HasSubstr("failed with signal 9"));
  const Error missing = caught([&] {
    open_program_stream({{"no-such-program"}, "install it"}, folder / "a");
  });
  EXPECT_THAT(missing.what(), HasSubstr("cannot start the program `no-such-program`"));
  EXPECT_EQ(missing.hint(), "install it");
}

// Neither one that writes on nor one that sleeps.
TEST(ByteStream, ReadingNoFurtherEndsAProgram) {
  TempFolder folder;
  spill(folder / "a", "bytes");
  for (const char* script : {"yes", "echo a; exec sleep 60"}) {
    const auto stream = open_program_stream(shell(script), folder / "a");
    char byte = 0;
    EXPECT_EQ(stream->read(&byte, 1), 1u);
  }
}

TEST(ByteStream, PeekedBytesComeAgain) {
  PeekedStream stream(text_stream("abcdefgh"));
  EXPECT_EQ(stream.peek(3), "abc");
  char two[2];
  EXPECT_EQ(stream.read(two, 2), 2u);
  EXPECT_EQ(stream.peek(3), "cde");
  EXPECT_EQ(all_of(stream), "cdefgh");
  EXPECT_EQ(stream.peek(3), "");
}

}  // namespace
}  // namespace fathom::testing
