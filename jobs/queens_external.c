/* Explore boards of the n queens problem for jobs/queens_external.py: one line of JSON in, one line out.
 *
 * A program for real work would use a JSON library; this one reads just what it is sent:
 *     {"protocol":1,"parameters":{"n":12,"program":"..."}}
 *     {"explore":[[columns,left,right],...],"budget":1000,"incumbent":null}
 * and answers
 *     {"value":solutions,"remaining":[[columns,left,right],...],"nodes":explored}
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct board { long columns, left, right; };

static char *line;
static size_t line_room;

static int read_line(void) { return getline(&line, &line_room, stdin) > 0; }

static long number_after(const char *name)
{
    char *at = strstr(line, name);
    if (at == NULL) {
        fprintf(stderr, "no %s in: %.100s\n", name, line);
        exit(1);
    }
    return strtol(at + strlen(name), NULL, 10);
}

int main(void)
{
    if (!read_line())
        return 0;
    long n = number_after("\"n\":"), full = (1L << n) - 1;
    struct board *boards = NULL;
    size_t room = 0;
    while (read_line()) {
        size_t height = 0;
        long budget = number_after("\"budget\":"), solutions = 0, nodes = 0;
        for (char *at = strchr(line, '[') + 1; (at = strpbrk(at, "[]")) != NULL && *at == '['; at = strchr(at, ']') + 1) {
            if (height + n >= room)
                boards = realloc(boards, (room = 2 * room + n + 64) * sizeof *boards);
            sscanf(at, "[%ld,%ld,%ld]", &boards[height].columns, &boards[height].left, &boards[height].right);
            height++;
        }
        while (height > 0 && nodes < budget) {
            struct board top = boards[--height];
            nodes++;
            solutions += top.columns == full;
            if (height + n >= room)
                boards = realloc(boards, (room = 2 * room + n + 64) * sizeof *boards);
            for (long free = ~(top.columns | top.left | top.right) & full; free; free &= free - 1) {
                long queen = free & -free;
                struct board child = {top.columns | queen, (top.left | queen) << 1 & full, (top.right | queen) >> 1};
                boards[height++] = child;
            }
        }
        printf("{\"value\":%ld,\"remaining\":[", solutions);
        for (size_t i = 0; i < height; i++)
            printf("%s[%ld,%ld,%ld]", i ? "," : "", boards[i].columns, boards[i].left, boards[i].right);
        printf("],\"nodes\":%ld}\n", nodes);
        fflush(stdout);
    }
    return 0;
}
