// Sort a table by the column whose heading is clicked; numbers start with the largest.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead tr:last-child th").forEach((heading, column) => {
    const sort = () => {
      const values = new Map([...body.rows].map((row) => [row, row.cells[column].dataset.value]));
      const isNumber = [...values.values()].every((value) => value === "" || !isNaN(value));
      const current = heading.getAttribute("aria-sort");
      const ascending = current ? current === "descending" : !isNumber;
      const compare = isNumber
        ? (a, b) => a - b
        : (a, b) => a.localeCompare(b, undefined, { numeric: true });
      const rows = [...body.rows].sort((first, second) => {
        const [a, b] = [values.get(first), values.get(second)];
        if (a === "" || b === "") return (a === "") - (b === ""); // what is unknown comes last
        return ascending ? compare(a, b) : compare(b, a);
      });
      table.querySelectorAll("thead tr:last-child th").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      body.append(...rows);
    };
    heading.tabIndex = 0;
    heading.addEventListener("click", sort);
    heading.addEventListener("keydown", (event) => {
      if (event.key === "Enter") sort();
    });
  });
}
